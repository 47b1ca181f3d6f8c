/** The client: where the API is, and with which key and habits it is asked. */

import { base } from './address.js';
import { Analytics } from './analytics.js';
import type { paths } from './openapi.js';
import { sleep } from './patience.js';
import { environment, inBrowser } from './runtime.js';
import { Transport } from './transport.js';
import type { Health, RequestOptions } from './types.js';

const LOCAL = 'http://127.0.0.1:8000';
const TIMEOUT = 60_000;
const RETRIES = 2;

export interface VideoCloudOptions {
  /** API key; without it VIDEOCLOUD_API_KEY of the environment. A server without keys needs none. */
  apiKey?: string | undefined;
  /** Address of the API; without it VIDEOCLOUD_BASE_URL, else http://127.0.0.1:8000. In a browser also `/path`. */
  baseUrl?: string | undefined;
  /** Longest time that an answer may take, in milliseconds, for each try; 60 s without it. */
  timeout?: number | undefined;
  /** How often to try again after a failure that may pass; twice without it. */
  maxRetries?: number | undefined;
  /** Headers of every request to the API, as a proxy may want. */
  headers?: Readonly<Record<string, string>> | undefined;
  /** Instead of the runtime's `fetch`. */
  fetch?: typeof globalThis.fetch | undefined;
  /** Everybody who opens a page can read what it holds. Say that this is meant: who does may read all analytics. */
  allowKeyInBrowser?: boolean | undefined;
}

/**
 * A client of VideoCloud Analytics. It holds no connection of its own: there is nothing to close.
 *
 * Throws TypeError for options that cannot work.
 */
export class VideoCloud {
  /** The questions. */
  readonly analytics: Analytics;
  /** Where the API is. */
  readonly baseUrl: string;
  readonly #transport: Transport;

  constructor(options: VideoCloudOptions = {}) {
    const page = inBrowser();
    const apiKey = options.apiKey ?? environment('VIDEOCLOUD_API_KEY');
    if (apiKey !== undefined) checkKey(apiKey, page && options.allowKeyInBrowser !== true);
    this.baseUrl = base(options.baseUrl ?? environment('VIDEOCLOUD_BASE_URL') ?? LOCAL, page);
    this.#transport = new Transport({
      baseUrl: this.baseUrl,
      apiKey,
      timeout: options.timeout ?? TIMEOUT,
      maxRetries: options.maxRetries ?? RETRIES,
      headers: options.headers ?? {},
      // Called as a function of its own: browsers want no other `this`.
      fetch: options.fetch ?? ((...call) => globalThis.fetch(...call)),
      sleep,
      random: Math.random,
    });
    this.analytics = new Analytics(this.#transport);
  }

  /** Ask whether the API's process lives. */
  async getHealth(options: RequestOptions = {}): Promise<Health> {
    return await this.#probe('/healthz', options);
  }

  /** Ask whether the API can answer: `degraded` when one store is away, `unavailable` when all are. */
  async getReadiness(options: RequestOptions = {}): Promise<Health> {
    return await this.#probe('/readyz', options);
  }

  async #probe(address: keyof paths, options: RequestOptions): Promise<Health> {
    return (await this.#transport.json({ ...options, address }, isHealth, [503])) as Health;
  }
}

function isHealth(found: unknown): boolean {
  return typeof (found as { status?: unknown } | undefined)?.status === 'string';
}

function checkKey(apiKey: string, forbidden: boolean): void {
  if (!/^[\x21-\x7e]+$/.test(apiKey)) {
    throw new TypeError('apiKey is empty, or has characters that no key has: blanks, line ends or accents.');
  }
  if (forbidden) {
    throw new TypeError(
      'An API key in a page can be read by everybody who opens it: let your own server ask, or proxy it. ' +
        'Where every visitor may see all analytics, say allowKeyInBrowser: true.',
    );
  }
}
