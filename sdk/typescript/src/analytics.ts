/** The questions that the API answers. */

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

/** Paths of the OpenAPI document: a path that is not there does not compile. */
type Path = keyof paths & `/analytics/${string}`;

/** Questions about videos, users, the platform, what is going on now, and exports. Made by `VideoCloud`. */
export class Analytics {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Ask for views, engagement and playback quality of one video; `7d` without a window. */
  async getVideo<const Metrics extends Some<VideoMetric> = undefined>(
    id: string,
    options: VideoOptions<Metrics> = {},
  ): Promise<Answer<Asked<Video, VideoMetric, Metrics>>> {
    return await this.#get(at('/analytics/videos/{id}', id), options);
  }

  /** Ask for totals, averages, the ten most viewed videos and trends; `30d` without a window. */
  async getVideosSummary(options: SummaryOptions = {}): Promise<Answer<Summary>> {
    return await this.#get(at('/analytics/videos/summary'), options);
  }

  /** Ask for activity, growth and retention of users; `30d` without a window. */
  async getUsers<const Metrics extends Some<UserMetric> = undefined>(
    options: UsersOptions<Metrics> = {},
  ): Promise<Answer<Asked<Users, UserMetric, Metrics>>> {
    return await this.#get(at('/analytics/users'), options);
  }

  /** Ask how sessions went; `7d` without a window. */
  async getUserEngagement(options: EngagementOptions = {}): Promise<Answer<UserEngagement>> {
    return await this.#get(at('/analytics/users/engagement'), options);
  }

  /** Ask how the platform was: uptime, response times, errors, resources; `24h` without a window. */
  async getSystemHealth(options: SystemOptions = {}): Promise<Answer<SystemHealth>> {
    return await this.#get(at('/analytics/system/health'), options);
  }

  /** Ask what the platform did: requests, jobs, storage; `1h` without a window. */
  async getSystemPerformance(options: SystemOptions = {}): Promise<Answer<SystemPerformance>> {
    return await this.#get(at('/analytics/system/performance'), options);
  }

  /** Ask once what is going on: viewers now, the last hour by the minute, trending videos. */
  async getLive(options: RequestOptions = {}): Promise<Answer<Live>> {
    return await this.#get(at('/analytics/live'), options);
  }

  /** Ask once what is going on with one video. */
  async getVideoLive(id: string, options: RequestOptions = {}): Promise<Answer<VideoLive>> {
    return await this.#get(at('/analytics/videos/{id}/live', id), options);
  }

  /** Iterate over what is going on, every second and without an end, through breaks of the connection. */
  live(options: LiveOptions = {}): AsyncGenerator<Answer<Live>, void, undefined> {
    return liveAnswers<Live>(this.#transport, at('/analytics/live/stream'), options);
  }

  /** Iterate over what is going on with one video, as `live` does. */
  videoLive(id: string, options: LiveOptions = {}): AsyncGenerator<Answer<VideoLive>, void, undefined> {
    return liveAnswers<VideoLive>(this.#transport, at('/analytics/videos/{id}/live/stream', id), options);
  }

  /** Ask for a file, which the server makes in the background; `30d` without a window. */
  async export(options: ExportOptions): Promise<Export> {
    const [body, asking] = split(options);
    const request = { ...asking, method: 'POST', address: at('/analytics/export'), body } as const;
    return dataOf<Export>(await this.#transport.json(request, isAnswer));
  }

  /** Ask how an export stands. */
  async getExport(id: string, options: RequestOptions = {}): Promise<Export> {
    const request = { ...options, address: at('/analytics/export/{id}', id) };
    return dataOf<Export>(await this.#transport.json(request, isAnswer));
  }

  /**
   * Wait until the file of an export is there, and return the export.
   *
   * Throws ExportFailedError when the server cannot make it, ExportTimeoutError after `waitTimeout`.
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

  /** Return the file of an export, to be streamed or saved; reading it waits until it is there. */
  download(which: Export | string, options: DownloadOptions = {}): Download {
    const { onProgress, ...waiting } = options;
    const isThere = typeof which !== 'string' && which.status === 'completed';
    const ready = async (): Promise<Export> => (isThere ? which : await this.waitForExport(which, waiting));
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

/** Fill a path of the API. */
function at(path: Path, id?: string): string {
  return filled(path, id);
}

/**
 * Part what is asked, with its instants written, from how it is asked. Names that nobody knows are the API's to
 * refuse. Throws RangeError for a Date that is none.
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
