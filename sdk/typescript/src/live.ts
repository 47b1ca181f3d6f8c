/** Live data: an endless stream that is reopened whenever its connection is lost. */

import { APIConnectionError, APIResponseError, type APIStatusError, statusError } from './errors.js';
import { isTransient, pauseOfStream } from './retries.js';
import { EventReader, type ServerEvent } from './sse.js';
import { type Chunks, parsed, refusal, type Transport } from './transport.js';
import type { Answer, LiveOptions } from './types.js';

const IDLE = 30_000;

/**
 * Yield the responses of a stream endlessly.
 *
 * The first connection is retried like any request, and throws if it fails. Later transient failures are reported
 * to `onInterruption` and followed by a new connection, after growing pauses and at most `maxReconnects` times in
 * a row. Permanent failures, such as a revoked key or a deleted video, are thrown, and so is one after which the
 * server asks for a pause of more than a minute.
 */
export async function* liveAnswers<Data>(
  transport: Transport,
  address: string,
  options: LiveOptions,
): AsyncGenerator<Answer<Data>, void, undefined> {
  const { signal, timeout, idleTimeout = IDLE, maxReconnects = Number.POSITIVE_INFINITY } = options;
  const { onInterruption } = options;
  const request = { address, signal, timeout, headers: { accept: 'text/event-stream' } };
  let { maxRetries } = options;
  let connected = false;
  for (let tried = 0; ; tried += 1) {
    try {
      const { response, chunks } = await transport.open({ ...request, maxRetries }, idleTimeout);
      connected = true;
      // From here on, this loop does the retries.
      maxRetries = 0;
      for await (const { event, data } of events(chunks)) {
        if (event === 'error') onInterruption?.(told(data));
        if (event !== 'live') continue;
        tried = 0;
        yield read<Data>(data, response.status);
      }
      throw new APIConnectionError(`The server ended the stream ${address}.`);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (!connected || !isTransient(error)) throw error;
      onInterruption?.(error as Error);
      await transport.beforeNext(error, tried, maxReconnects, signal, pauseOfStream);
    }
  }
}

async function* events(chunks: Chunks): AsyncGenerator<ServerEvent, void, undefined> {
  const reader = new EventReader();
  const decoder = new TextDecoder();
  for await (const chunk of chunks) yield* reader.read(decoder.decode(chunk, { stream: true }));
}

function read<Data>(text: string, status: number): Answer<Data> {
  const { data, meta } = (parsed(text) ?? {}) as { data?: Data; meta?: Answer<Data>['meta'] };
  if (data === undefined || meta === undefined) {
    throw new APIResponseError(
      `The stream sent something that is not live data of this API: ${text.slice(0, 80)}`,
      status,
    );
  }
  return { ...data, meta };
}

/** Read an error that the stream sent. The stream continues, so the error is reported and not thrown. */
function told(text: string): APIStatusError {
  const { code, message, details } = refusal(parsed(text));
  return statusError(message, { status: 503, code, details, requestId: undefined, retryAfter: undefined });
}
