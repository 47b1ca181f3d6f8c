/** Types of the API's parameters and responses, derived from its OpenAPI document. */

import type { components, operations } from './openapi.js';

type Schemas = components['schemas'];
type Query<Operation extends keyof operations> = NonNullable<operations[Operation]['parameters']['query']>;

/** When the response was computed, from which store, and whether the window is over. */
export type Meta = Schemas['Meta'];
/** A response: the data, and `meta`. */
export type Answer<Data> = Data & { meta: Meta };

/** Analytics of one video; `VideoMetric` names its groups. */
export type Video = Schemas['Video'];
export type Summary = Schemas['Summary'];
/** Analytics of users; `UserMetric` names its groups. */
export type Users = Schemas['Users'];
export type UserEngagement = Schemas['EngagementData'];
export type SystemHealth = Schemas['SystemHealth'];
export type SystemPerformance = Schemas['SystemPerformance'];
export type Live = Schemas['Live'];
export type VideoLive = Schemas['VideoLive'];
export type Export = Schemas['Export'];
/** Health of the API and its stores. */
export type Health = Schemas['Health'];

export type Period = NonNullable<Query<'getVideo'>['period']>;
export type GroupBy = NonNullable<Query<'getVideo'>['groupBy']>;
export type Compare = NonNullable<Query<'getVideo'>['compare']>;
export type VideoMetric = NonNullable<Query<'getVideo'>['metrics']>[number];
export type UserMetric = NonNullable<Query<'getUsers'>['metrics']>[number];
export type ExportType = Schemas['ExportRequest']['type'];
export type ExportFormat = NonNullable<Schemas['ExportRequest']['format']>;
export type ExportStatus = Export['status'];

/** Metrics of each type of export. */
export interface ExportMetrics {
  video: VideoMetric;
  user: UserMetric;
  system: 'api' | 'processing' | 'storage' | 'uptime';
}

/** A named period, or a window `[start, end)`: never both. */
export type Window =
  | { period?: Period | undefined; start?: undefined; end?: undefined }
  | { period?: undefined; start: Date | string; end: Date | string };

/** Options of one request; the client's options apply by default. */
export interface RequestOptions {
  /** Aborts the request, its retries and the waits between them. */
  signal?: AbortSignal | undefined;
  /** Time-out of each attempt, in milliseconds. */
  timeout?: number | undefined;
  /** Maximum number of retries after a transient failure. */
  maxRetries?: number | undefined;
}

/** Options of a method: the parameters of its operation, a window, and the options of the request. */
type Asking<Operation extends keyof operations> = Window &
  RequestOptions & {
    [Name in Exclude<keyof Query<Operation>, keyof Window | 'metrics'>]?: Query<Operation>[Name] | undefined;
  };

/** A list of metrics; undefined for all. */
export type Some<Metric> = readonly Metric[] | undefined;

export type VideoOptions<Metrics extends Some<VideoMetric> = Some<VideoMetric>> = Asking<'getVideo'> & {
  /** Groups to return. Default: all. */
  metrics?: Metrics;
};
export type UsersOptions<Metrics extends Some<UserMetric> = Some<UserMetric>> = Asking<'getUsers'> & {
  /** Groups to return. Default: all. */
  metrics?: Metrics;
};
export type SummaryOptions = Asking<'getSummary'>;
export type EngagementOptions = Asking<'getEngagement'>;
export type SystemOptions = Asking<'getHealth'>;

/** What to export; `metrics` are those of its `type`. */
export type ExportOptions = {
  [Type in ExportType]: {
    type: Type;
    metrics?: readonly ExportMetrics[Type][] | undefined;
  };
}[ExportType] &
  Window &
  RequestOptions & {
    format?: ExportFormat | undefined;
    /** IANA time zone of the days. */
    timezone?: string | undefined;
  };

export interface WaitOptions extends RequestOptions {
  /** Maximum time to wait for the file, in milliseconds. Default: ten minutes. */
  waitTimeout?: number | undefined;
  /** Called with the export each time its status was read. */
  onStatus?: ((unfinished: Export) => void) | undefined;
}

export interface DownloadOptions extends WaitOptions {
  /** Called with the bytes received so far and the total, which is null if unknown. */
  onProgress?: ((received: number, total: number | null) => void) | undefined;
}

export interface LiveOptions extends RequestOptions {
  /** A stream that sends nothing for this many milliseconds is reopened. Default: 30 s. */
  idleTimeout?: number | undefined;
  /** Maximum number of consecutive reconnections. Default: unlimited. */
  maxReconnects?: number | undefined;
  /** Called with each error that interrupts the stream and from which the client recovers by itself. */
  onInterruption?: ((error: Error) => void) | undefined;
}

/** Whether a type is a union. */
type IsUnion<Type, Same = Type> = Type extends unknown ? ([Same] extends [Type] ? false : true) : never;

/** Whether the compiler knows each name of a list. */
type Named<Names> = Names extends readonly [infer First, ...infer Others]
  ? IsUnion<First> extends false
    ? Named<Others>
    : false
  : Names extends readonly []
    ? true
    : false;

/**
 * Data with the requested groups: all of them without `metrics`; exactly those that `metrics` lists; if the
 * compiler does not know the contents of the list, each group may be missing.
 */
export type Asked<Data, Group extends keyof Data, Metrics extends Some<Group>> = Omit<Data, Group> &
  ([Metrics] extends [undefined]
    ? { [Name in Group]-?: NonNullable<Data[Name]> }
    : Named<NonNullable<Metrics>> extends true
      ? { [Name in NonNullable<Metrics>[number]]-?: NonNullable<Data[Name]> }
      : { [Name in NonNullable<Metrics>[number]]?: NonNullable<Data[Name]> });
