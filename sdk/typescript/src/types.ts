/** Names for what the API takes and answers; the shapes themselves are made from its OpenAPI document. */

import type { components, operations } from './openapi.js';

type Schemas = components['schemas'];
type Query<Operation extends keyof operations> = NonNullable<operations[Operation]['parameters']['query']>;

/** When the question was answered, from which store, and whether the window is over. */
export type Meta = Schemas['Meta'];
/** An answer, with `meta` beside its data. */
export type Answer<Data> = Data & { meta: Meta };

/** What is known of one video; `VideoMetric` names its groups. */
export type Video = Schemas['Video'];
export type Summary = Schemas['Summary'];
/** What is known of users; `UserMetric` names its groups. */
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

/** A period by its name, or a window `[start, end)` of one's own: never both. */
export type Window =
  | { period?: Period | undefined; start?: undefined; end?: undefined }
  | { period?: undefined; start: Date | string; end: Date | string };

/** How one request is made; without them, what the client was given applies. */
export interface RequestOptions {
  /** Aborts the request, its retries and the waits between them. */
  signal?: AbortSignal | undefined;
  /** Longest time that the answer may take, in milliseconds, for each try. */
  timeout?: number | undefined;
  /** How often to try again after a failure that may pass. */
  maxRetries?: number | undefined;
}

/** Options of a question: the parameters of its operation, with a window, and how to ask. */
type Asking<Operation extends keyof operations> = Window &
  RequestOptions & {
    [Name in Exclude<keyof Query<Operation>, keyof Window | 'metrics'>]?: Query<Operation>[Name] | undefined;
  };

/** A list of metrics, or none for all. */
export type Some<Metric> = readonly Metric[] | undefined;

export type VideoOptions<Metrics extends Some<VideoMetric> = Some<VideoMetric>> = Asking<'getVideo'> & {
  /** Groups to answer; all without it. */
  metrics?: Metrics;
};
export type UsersOptions<Metrics extends Some<UserMetric> = Some<UserMetric>> = Asking<'getUsers'> & {
  /** Groups to answer; all without it. */
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
  /** Longest time to wait for the file, in milliseconds; ten minutes without it. */
  waitTimeout?: number | undefined;
  /** Told of the export each time that it was looked at. */
  onStatus?: ((unfinished: Export) => void) | undefined;
}

export interface DownloadOptions extends WaitOptions {
  /** Told of the bytes so far, and of how many there will be; null while that is not known. */
  onProgress?: ((received: number, total: number | null) => void) | undefined;
}

export interface LiveOptions extends RequestOptions {
  /** A stream that is silent for so many milliseconds is dropped and opened anew; 30 s without it. */
  idleTimeout?: number | undefined;
  /** How often in a row to open a broken stream anew; without it for ever. */
  maxReconnects?: number | undefined;
  /** Told of everything that keeps answers from coming, and is being got over. */
  onInterruption?: ((error: Error) => void) | undefined;
}

/** Say whether a type is one of several. */
type IsUnion<Type, Same = Type> = Type extends unknown ? ([Same] extends [Type] ? false : true) : never;

/** Say whether the compiler sees each name of a list. */
type Named<Names> = Names extends readonly [infer First, ...infer Others]
  ? IsUnion<First> extends false
    ? Named<Others>
    : false
  : Names extends readonly []
    ? true
    : false;

/**
 * Data with the groups that were asked for: all of them without `metrics`; asked for by name, these and no
 * others; asked for in a list that the compiler cannot see into, each may be missing.
 */
export type Asked<Data, Group extends keyof Data, Metrics extends Some<Group>> = Omit<Data, Group> &
  ([Metrics] extends [undefined]
    ? { [Name in Group]-?: NonNullable<Data[Name]> }
    : Named<NonNullable<Metrics>> extends true
      ? { [Name in NonNullable<Metrics>[number]]-?: NonNullable<Data[Name]> }
      : { [Name in NonNullable<Metrics>[number]]?: NonNullable<Data[Name]> });
