/** A piece of the OpenAPI document, as far as tests look at it. */
export interface Operation {
  operationId: string;
  parameters?: { name: string; in: string }[];
  responses: Record<string, { content?: Record<string, { example?: unknown }> }>;
}

export interface Spec {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, { properties: Record<string, { description?: string }> }> };
}

export function spec(): Promise<Spec>;
export function types(): Promise<string>;
export const SPEC: URL;
export const TYPES: URL;
