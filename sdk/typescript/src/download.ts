/** The file of an export: streamed, and resumed after a lost connection. */

import { APIConnectionError } from './errors.js';
import { fileSystem } from './runtime.js';
import type { Transport } from './transport.js';
import type { DownloadOptions, Export } from './types.js';

/**
 * The file of an export. No request is sent until the file is read; read it only once, in one of these ways.
 *
 * A download whose connection is lost resumes where it stopped. Reading throws the errors of any request, and
 * ExportFailedError or ExportTimeoutError if there is no file to read.
 */
export class Download implements AsyncIterable<Uint8Array> {
  readonly #transport: Transport;
  readonly #ready: (signal: AbortSignal | undefined) => Promise<Export>;
  readonly #options: DownloadOptions;
  #type = '';

  /** `ready` waits for the export and returns it when its file is ready. */
  constructor(
    transport: Transport,
    ready: (signal: AbortSignal | undefined) => Promise<Export>,
    options: DownloadOptions,
  ) {
    this.#transport = transport;
    this.#ready = ready;
    this.#options = options;
  }

  /** Yield the file in chunks. */
  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    return this.#read(this.#options.signal);
  }

  async *#read(signal: AbortSignal | undefined): AsyncGenerator<Uint8Array, void, undefined> {
    const { timeout, maxRetries, onProgress } = this.#options;
    const { downloadUrl: address } = await this.#ready(signal);
    const request = { address, signal, timeout, maxRetries };
    let { response, chunks, close } = await this.#transport.open(request);
    this.#type = response.headers.get('content-type') ?? '';
    const tag = response.headers.get('etag');
    const total = sizeOf(response);
    let received = 0;
    for (let tried = 0; ; tried += 1) {
      try {
        for await (const chunk of chunks) {
          received += chunk.byteLength;
          tried = 0;
          onProgress?.(received, total);
          yield chunk;
        }
        if (total === null || received === total) return;
        throw new APIConnectionError(`The file ended after ${received} of ${total} bytes: ${address}`);
      } catch (error) {
        if (signal?.aborted) throw signal.reason;
        if (total === null || tag === null) throw error;
        await this.#transport.beforeNext(error, tried, this.#transport.retries(request), signal);
      }
      const rest = { range: `bytes=${received}-`, 'if-range': tag };
      ({ response, chunks, close } = await this.#transport.open({ ...request, headers: rest }));
      if (response.status !== 206) {
        close();
        throw new APIConnectionError(
          `The connection was lost and the file has changed since: download it again from the start: ${address}`,
        );
      }
    }
  }

  /** Return the file as a stream, for a `Response` or `pipeTo`. */
  stream(): ReadableStream<Uint8Array> {
    const ended = new AbortController();
    const { signal } = this.#options;
    const chunks = this.#read(signal ? AbortSignal.any([signal, ended.signal]) : ended.signal);
    return new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          const { done, value } = await chunks.next();
          if (done) controller.close();
          else controller.enqueue(value);
        },
        async cancel(reason) {
          // A generator that waits would take notice of its end only when that for which it waits has come.
          ended.abort(reason);
          await chunks.return();
        },
      },
      { highWaterMark: 0 },
    );
  }

  /** Return the whole file with its media type. */
  async blob(): Promise<Blob> {
    const parts: Uint8Array[] = [];
    for await (const chunk of this) parts.push(chunk);
    return new Blob(parts as Uint8Array<ArrayBuffer>[], { type: this.#type });
  }

  /** Return the whole file as bytes, for example for a Parquet reader. */
  async bytes(): Promise<Uint8Array> {
    return new Uint8Array(await (await this.blob()).arrayBuffer());
  }

  /** Return the whole file as text. */
  async text(): Promise<string> {
    return await (await this.blob()).text();
  }

  /**
   * Write the file to a path (not in browsers) and return its size in bytes.
   *
   * The file is named `<path>.part` until it is complete, so `path` never holds an incomplete file.
   */
  async saveTo(path: string | URL): Promise<number> {
    const files = fileSystem();
    const unfinished = path instanceof URL ? new URL(`${path.href}.part`) : `${path}.part`;
    let size = 0;
    try {
      const file = await files.open(unfinished, 'w');
      try {
        for await (const chunk of this) {
          await file.writeFile(chunk);
          size += chunk.byteLength;
        }
      } finally {
        await file.close();
      }
      await files.rename(unfinished, path);
    } catch (error) {
      await files.rm(unfinished, { force: true });
      throw error;
    }
    return size;
  }
}

/** Return the size of the file in bytes; null if the server does not send it or compresses the response. */
function sizeOf(response: Response): number | null {
  const length = response.headers.get('content-length');
  return length === null || response.headers.has('content-encoding') ? null : Number(length);
}
