/** The types of src/openapi.ts, made from the committed OpenAPI document. */
import { readFile } from 'node:fs/promises';
import openapiTS, { astToString, COMMENT_HEADER } from 'openapi-typescript';

export const SPEC = new URL('../../../docs/openapi.json', import.meta.url);
export const TYPES = new URL('../src/openapi.ts', import.meta.url);

/** Take out what types do not need: titles that repeat names, examples, and errors, which all look alike. */
function pruned(node, inNames = false) {
  if (Array.isArray(node)) return node.map((each) => pruned(each));
  if (node === null || typeof node !== 'object') return node;
  const kept = Object.entries(node).filter(([name, value]) => {
    if (inNames) return true;
    if (name === 'title') return typeof value !== 'string';
    return name !== 'example' && name !== 'examples';
  });
  return Object.fromEntries(
    kept.map(([name, value]) => {
      if (name === 'responses' && !inNames) {
        const good = Object.entries(value).filter(([status]) => status.startsWith('2'));
        return [name, pruned(Object.fromEntries(good), true)];
      }
      return [name, pruned(value, !inNames && (name === 'properties' || name === 'schemas'))];
    }),
  );
}

/** Read the OpenAPI document as it is. */
export async function spec() {
  return JSON.parse(await readFile(SPEC, 'utf8'));
}

/** Return the text that src/openapi.ts should have. */
export async function types() {
  const tree = await openapiTS(pruned(await spec()), { defaultNonNullable: false });
  return COMMENT_HEADER + astToString(tree);
}
