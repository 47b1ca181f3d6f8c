/** The methods of `client.analytics`, one for each endpoint. */

import { filled, type QueryValue, query } from './address.js';
import { Download } from './download.js';
import { ExportFailedError, ExportTimeoutError } from './errors.js';
import { liveAnswers } from './live.js';
import type { paths } from './openapi.js';
import { sleep } from './patience.js';
import type { Transport } from './transport.js';
import type {
  Answer,
  Asked,
  DownloadOptions,
  EngagementOptions,
  Export,
  ExportOptions,
  Live,
  LiveOptions,
  RequestOptions,
  Some,
  Summary,
  SummaryOptions,
  SystemHealth,
  SystemOptions,
  SystemPerformance,
  UserEngagement,
  UserMetric,
  Users,
  UsersOptions,
  Video,
  VideoLive,
  VideoMetric,
  VideoOptions,
  WaitOptions,
} from './types.js';

const WAIT = 600_000;
const FIRST_LOOK = 250;
const LONGEST_LOOK = 5_000;

/** Paths of the OpenAPI document: a path that it does not contain does not compile. */
type Path = keyof paths & `/analytics/${string}`;

/** Analytics of videos, users and the platform, live data, and exports. Created by `VideoCloud`. */
export class Analytics {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Get views, engagement and playback quality of one video. Default window: `7d`. */
  async getVideo<const Metrics extends Some<VideoMetric> = undefined>(
    id: string,
    options: VideoOptions<Metrics> = {},
  ): Promise<Answer<Asked<Video, VideoMetric, Metrics>>> {
    return await this.#get(at('/analytics/videos/{id}', id), options);
  }

  /** Get totals, averages, the ten most viewed videos and trends. Default window: `30d`. */
  async getVideosSummary(options: SummaryOptions = {}): Promise<Answer<Summary>> {
    return await this.#get(at('/analytics/videos/summary'), options);
  }

  /** Get activity, growth and retention of users. Default window: `30d`. */
  async getUsers<const Metrics extends Some<UserMetric> = undefined>(
    options: UsersOptions<Metrics> = {},
  ): Promise<Answer<Asked<Users, UserMetric, Metrics>>> {
    return await this.#get(at('/analytics/users'), options);
  }

  /** Get duration, pages and bounces of sessions. Default window: `7d`. */
  async getUserEngagement(options: EngagementOptions = {}): Promise<Answer<UserEngagement>> {
    return await this.#get(at('/analytics/users/engagement'), options);
  }

  /** Get the platform's uptime, response times, errors and resources. Default window: `24h`. */
  async getSystemHealth(options: SystemOptions = {}): Promise<Answer<SystemHealth>> {
    return await this.#get(at('/analytics/system/health'), options);
  }

  /** Get the platform's requests, jobs and storage operations. Default window: `1h`. */
  async getSystemPerformance(options: SystemOptions = {}): Promise<Answer<SystemPerformance>> {
    return await this.#get(at('/analytics/system/performance'), options);
  }

  /** Get live data once: concurrent viewers, the last hour by minute, trending videos. */
  async getLive(options: RequestOptions = {}): Promise<Answer<Live>> {
    return await this.#get(at('/analytics/live'), options);
  }

  /** Get live data of one video once. */
  async getVideoLive(id: string, options: RequestOptions = {}): Promise<Answer<VideoLive>> {
    return await this.#get(at('/analytics/videos/{id}/live', id), options);
  }

  /** Iterate over live data: a response every second, endlessly; a lost connection is reopened. */
  live(options: LiveOptions = {}): AsyncGenerator<Answer<Live>, void, undefined> {
    return liveAnswers<Live>(this.#transport, at('/analytics/live/stream'), options);
  }

  /** Iterate over live data of one video, as `live` does for all. */
  videoLive(id: string, options: LiveOptions = {}): AsyncGenerator<Answer<VideoLive>, void, undefined> {
    return liveAnswers<VideoLive>(this.#transport, at('/analytics/videos/{id}/live/stream', id), options);
  }

  /** Start an export: the server writes its file in the background. Default window: `30d`. */
  async export(options: ExportOptions): Promise<Export> {
    const [body, asking] = split(options);
    const request = { ...asking, method: 'POST', address: at('/analytics/export'), body } as const;
    return dataOf<Export>(await this.#transport.json(request, isAnswer));
  }

  /** Get the status of an export. */
  async getExport(id: string, options: RequestOptions = {}): Promise<Export> {
    const request = { ...options, address: at('/analytics/export/{id}', id) };
    return dataOf<Export>(await this.#transport.json(request, isAnswer));
  }

  /**
   * Wait until the file of an export is ready, and return the export.
   *
   * Throws ExportFailedError if the export fails, ExportTimeoutError after `waitTimeout`.
   */
  async waitForExport(which: Export | string, options: WaitOptions = {}): Promise<Export> {
    const { waitTimeout = WAIT, onStatus, ...asking } = options;
    const end = performance.now() + waitTimeout;
    for (let look = FIRST_LOOK; ; look = Math.min(look * 1.5, LONGEST_LOOK)) {
      const found = await this.getExport(typeof which === 'string' ? which : which.exportId, asking);
      onStatus?.(found);
      if (found.status === 'completed') return found;
      if (found.status === 'failed') throw new ExportFailedError(found);
      if (performance.now() + look > end) throw new ExportTimeoutError(found, waitTimeout);
      await sleep(look, asking.signal);
    }
  }

  /** Return the file of an export, to be streamed or saved; reading it waits until the file is ready. */
  download(which: Export | string, options: DownloadOptions = {}): Download {
    const { onProgress, ...waiting } = options;
    const isThere = typeof which !== 'string' && which.status === 'completed';
    const ready = async (signal: AbortSignal | undefined): Promise<Export> =>
      isThere ? which : await this.waitForExport(which, { ...waiting, signal });
    return new Download(this.#transport, ready, options);
  }

  async #get<Data>(address: string, options: RequestOptions): Promise<Answer<Data>> {
    const [parameters, asking] = split(options);
    const request = { ...asking, address: address + query(parameters) };
    const found = (await this.#transport.json(request, isAnswer)) as {
      data: Data;
      meta: Answer<Data>['meta'];
    };
    return { ...found.data, meta: found.meta };
  }
}

/** Return a path of the API with its id. */
function at(path: Path, id?: string): string {
  return filled(path, id);
}

/**
 * Separate the API's parameters, with dates as text, from the options of the request. The API rejects unknown
 * parameters. Throws RangeError for an invalid Date.
 */
function split(options: RequestOptions): [Record<string, QueryValue>, RequestOptions] {
  const { signal, timeout, maxRetries, ...parameters } = options;
  const written = Object.entries(parameters).map(([name, value]: [string, unknown]) => [
    name,
    value instanceof Date ? value.toISOString() : value,
  ]);
  return [Object.fromEntries(written), { signal, timeout, maxRetries }];
}

function isAnswer(found: unknown): boolean {
  const { success, data } = (found ?? {}) as { success?: unknown; data?: unknown };
  return success === true && typeof data === 'object' && data !== null;
}

function dataOf<Data>(found: unknown): Data {
  return (found as { data: Data }).data;
}
