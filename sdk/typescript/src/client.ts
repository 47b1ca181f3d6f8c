/** The client: the API's URL, the key, and how requests are made. */

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
  /** API key; by default the environment variable VIDEOCLOUD_API_KEY. Not needed if the server has no keys. */
  apiKey?: string | undefined;
  /** URL of the API; by default VIDEOCLOUD_BASE_URL, else http://127.0.0.1:8000. In a browser also `/path`. */
  baseUrl?: string | undefined;
  /** Time-out of each attempt, in milliseconds. Default: 60 s. */
  timeout?: number | undefined;
  /** Maximum number of retries after a transient failure. Default: 2. */
  maxRetries?: number | undefined;
  /** Headers added to every request to the API, such as those that a proxy requires. */
  headers?: Readonly<Record<string, string>> | undefined;
  /** Used instead of the runtime's `fetch`. */
  fetch?: typeof globalThis.fetch | undefined;
  /** Confirms that an API key may be used in a browser, where every visitor of the page can read and use it. */
  allowKeyInBrowser?: boolean | undefined;
}

/**
 * A client of VideoCloud Analytics. It holds no connections, so it need not be closed.
 *
 * Throws TypeError for invalid options.
 */
export class VideoCloud {
  /** The API's endpoints as methods. */
  readonly analytics: Analytics;
  /** URL of the API. */
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
      // Called as a plain function: browsers reject any other `this`.
      fetch: options.fetch ?? ((...call) => globalThis.fetch(...call)),
      sleep,
      random: Math.random,
    });
    this.analytics = new Analytics(this.#transport);
  }

  /** Get whether the API's process is alive. */
  async getHealth(options: RequestOptions = {}): Promise<Health> {
    return await this.#probe('/healthz', options);
  }

  /** Get whether the API can answer: `degraded` if one store is unavailable, `unavailable` if all are. */
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
    throw new TypeError(
      'apiKey is empty or contains characters that keys never have, such as spaces, line breaks or accents.',
    );
  }
  if (forbidden) {
    throw new TypeError(
      'Every visitor of a page can read an API key in it: send the requests from your own server, or through a ' +
        'proxy that adds the key. If every visitor may see all analytics, set allowKeyInBrowser: true.',
    );
  }
}
