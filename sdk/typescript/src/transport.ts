/** Requests to the API: key, time-out, retries, and responses as data or errors. */

import { version } from '../package.json' with { type: 'json' };
import {
  APIConnectionError,
  APIError,
  APIResponseError,
  type APIStatusError,
  statusError,
} from './errors.js';
import { Patience, type sleep } from './patience.js';
import { pause, retryAfter } from './retries.js';
import { introduction } from './runtime.js';
import type { RequestOptions } from './types.js';

/** Settings that a client passes to its transport. */
export interface TransportSettings {
  baseUrl: string;
  apiKey: string | undefined;
  timeout: number;
  maxRetries: number;
  headers: Readonly<Record<string, string>>;
  fetch: typeof fetch;
  /** Wait for a number of milliseconds; throw the signal's reason when it is aborted. */
  sleep: typeof sleep;
  /** A number in [0, 1). */
  random: () => number;
}

/** One request. `address` is a path below the base URL, or a whole URL, to which the key is not sent. */
export interface Request extends RequestOptions {
  method?: 'GET' | 'POST';
  address: string;
  body?: unknown;
  headers?: Readonly<Record<string, string>>;
}

/** The chunks of a body, as they arrive. */
export type Chunks = AsyncGenerator<Uint8Array, void, undefined>;

/** An open stream: its connection stays open until `chunks` has ended or `close` is called. */
export interface Opened {
  response: Response;
  chunks: Chunks;
  close: () => void;
}

/** Reads a successful response, and cancels its time-out unless more is to be read. */
type Take<Result> = (response: Response, patience: Patience) => Promise<Result>;

/** Sends requests. */
export class Transport {
  readonly #settings: TransportSettings;

  constructor(settings: TransportSettings) {
    this.#settings = settings;
  }

  /** Return the JSON of a successful response. `isOne` says whether it comes from this API. */
  async json(
    request: Request,
    isOne: (found: unknown) => boolean,
    alsoGood: number[] = [],
  ): Promise<unknown> {
    const { method = 'GET' } = request;
    return await this.#try(
      { ...request, headers: { accept: 'application/json', ...request.headers } },
      async (response, patience) => {
        const text = await response.text();
        patience.cancel();
        const found = parsed(text);
        if (isOne(found)) return found;
        throw new APIResponseError(
          `${method} ${this.#url(request.address)} returned ${response.status} with a body that is not from ` +
            'this API: check baseUrl, and any proxy in between.',
          response.status,
        );
      },
      alsoGood,
    );
  }

  /**
   * Open a stream: return as soon as the response begins.
   *
   * Its chunks throw APITimeoutError when a read waits for more than `idle` milliseconds, by default the time-out
   * of the request. The time that the caller spends on each chunk does not count.
   */
  async open(request: Request, idle: number = this.#timeout(request)): Promise<Opened> {
    return await this.#try(request, async (response, patience) => {
      patience.rest();
      const chunks = this.#chunks(response, patience, request.address, idle);
      // A generator that was never started runs no `finally` when it is ended, so `close` is needed.
      return { response, chunks, close: () => patience.cancel() };
    });
  }

  /**
   * Wait before the next retry after an error, for as long as `pause`, or another such function, says.
   *
   * Throws the error if there is no further retry, and the signal's reason when it is aborted.
   */
  async beforeNext(
    error: unknown,
    tried: number,
    most: number,
    signal: AbortSignal | undefined,
    wait: typeof pause = pause,
  ): Promise<void> {
    if (signal?.aborted) throw signal.reason;
    const milliseconds = wait(error, tried, most, this.#settings.random);
    if (milliseconds === undefined) throw error;
    await this.#settings.sleep(milliseconds, signal);
  }

  /** Return the maximum number of retries. */
  retries(options: RequestOptions): number {
    return options.maxRetries ?? this.#settings.maxRetries;
  }

  async #try<Result>(request: Request, take: Take<Result>, alsoGood: number[] = []): Promise<Result> {
    const most = this.retries(request);
    for (let tried = 0; ; tried += 1) {
      try {
        return await this.#once(request, take, alsoGood);
      } catch (error) {
        await this.beforeNext(error, tried, most, request.signal);
      }
    }
  }

  async #once<Result>(request: Request, take: Take<Result>, alsoGood: number[]): Promise<Result> {
    const { method = 'GET', address, signal } = request;
    const url = this.#url(address);
    const patience = new Patience(this.#timeout(request), signal, `${method} ${url}`);
    try {
      const response = await this.#settings.fetch(url, {
        method,
        headers: this.#headers(request),
        signal: patience.signal,
        ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
      });
      if (!response.ok && !alsoGood.includes(response.status)) throw await this.#refused(response);
      return await take(response, patience);
    } catch (error) {
      patience.cancel();
      throw this.#explained(error, address, patience);
    }
  }

  async *#chunks(response: Response, patience: Patience, address: string, idle: number): Chunks {
    const reader = response.body?.getReader();
    try {
      while (reader) {
        patience.restart(idle);
        const { done, value } = await reader.read();
        patience.rest();
        if (done) return;
        yield value;
      }
    } catch (error) {
      throw this.#explained(error, address, patience);
    } finally {
      patience.cancel();
    }
  }

  /** Return a connection error as an error of this package; an error of this package is returned as it is. */
  #explained(error: unknown, address: string, patience: Patience): APIError {
    // Runtimes differ in what they reject with when a signal is aborted.
    const cause = patience.reason ?? error;
    if (cause instanceof APIError) return cause;
    return new APIConnectionError(`No response from ${this.#url(address)}: ${words(cause)}`, { cause });
  }

  #timeout(request: Request): number {
    return request.timeout ?? this.#settings.timeout;
  }

  #url(address: string): string {
    return address.startsWith('/') ? this.#settings.baseUrl + address : address;
  }

  #headers(request: Request): Record<string, string> {
    const { apiKey } = this.#settings;
    const ours = request.address.startsWith('/');
    return {
      ...introduction(version),
      ...(ours ? this.#settings.headers : {}),
      ...(ours && apiKey !== undefined ? { authorization: `Bearer ${apiKey}` } : {}),
      ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...request.headers,
    };
  }

  async #refused(response: Response): Promise<APIStatusError> {
    const text = await response.text().catch(() => '');
    const { status, headers } = response;
    const error = refusal(parsed(text));
    const { requestId, ...details } = error.details;
    const message =
      status === 401 ? this.#unauthorized() : error.message || response.statusText || 'no reason given';
    return statusError(message, {
      status,
      code: error.code,
      details,
      requestId: typeof requestId === 'string' ? requestId : (headers.get('x-request-id') ?? undefined),
      retryAfter: retryAfter(headers.get('retry-after'), Date.now()),
    });
  }

  #unauthorized(): string {
    const { apiKey, baseUrl } = this.#settings;
    return apiKey === undefined
      ? `${baseUrl} requires an API key: set VIDEOCLOUD_API_KEY, or pass apiKey.`
      : `${baseUrl} rejected the API key: check VIDEOCLOUD_API_KEY or apiKey.`;
  }
}

/** Parse JSON; undefined if it is not valid. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Read the body of an error response; a body that is not from this API has neither code nor message. */
export function refusal(body: unknown): {
  code: string | undefined;
  message: string;
  details: Record<string, unknown>;
} {
  const { error } = (body ?? {}) as { error?: { code?: unknown; message?: unknown; details?: unknown } };
  const { code, message, details } = error ?? {};
  return {
    code: typeof code === 'string' ? code : undefined,
    message: typeof message === 'string' ? message : '',
    details: typeof details === 'object' && details !== null ? { ...details } : {},
  };
}

/** Return the message of a connection error: runtimes wrap the real error into "fetch failed". */
function words(error: unknown): string {
  const { cause } = error as { cause?: unknown };
  const inner = cause instanceof AggregateError ? cause.errors[0] : cause;
  return inner instanceof Error ? inner.message : error instanceof Error ? error.message : String(error);
}
