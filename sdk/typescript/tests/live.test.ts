import type { ServerResponse } from 'node:http';
import { expect, test, vi } from 'vitest';
import {
  APIConnectionError,
  APIResponseError,
  APITimeoutError,
  NotFoundError,
  RateLimitError,
  UnavailableError,
} from '../src/index.js';
import { asking, drop, error, META, type Reply, serve, thrown } from './support/server.js';

function told(event: string, body: unknown): string {
  return `event: ${event}\ndata: ${JSON.stringify(body)}\n\n`;
}

function viewers(concurrentViewers: number): string {
  return told('live', { success: true, data: { concurrentViewers }, meta: META });
}

/** Begin a stream with these texts, then call `then`. */
function stream(texts: string[], then: (response: ServerResponse) => void = () => {}): Reply {
  return (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(texts.join(''), () => then(response));
  };
}

const cut = (response: ServerResponse): void => void response.destroy();
const end = (response: ServerResponse): void => void response.end();

/** Return the first `count` answers, and stop iterating. */
async function first<Item>(count: number, from: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const each of from) {
    found.push(each);
    if (found.length === count) break;
  }
  return found;
}

test('a stream yields answers one by one, with meta, and skips the pings between them', async () => {
  const server = await serve(stream([viewers(1), ': ping\n\n', viewers(2)]));
  const found = await first(2, asking(server.url).analytics.live());
  expect(found).toEqual([
    { concurrentViewers: 1, meta: META },
    { concurrentViewers: 2, meta: META },
  ]);
  expect(server.asked[0]?.url).toBe('/analytics/live/stream');
  expect(server.asked[0]?.headers.accept).toBe('text/event-stream');
});

test('ending the iteration closes the connection', async () => {
  const server = await serve(stream([viewers(1)]));
  await first(1, asking(server.url).analytics.videoLive('v 1'));
  await vi.waitFor(() => expect(server.left).toBe(1));
  expect(server.asked[0]?.url).toBe('/analytics/videos/v%201/live/stream');
});

test('a stream that breaks or ends is reopened, and each interruption is reported', async () => {
  const server = await serve(
    stream([viewers(1)], cut),
    drop,
    error(503, 'ANALYTICS_TOO_MANY_STREAMS', 'All are taken.', { 'retry-after': '2' }),
    stream([viewers(2)], end),
    stream([viewers(3)]),
  );
  const { analytics, waits } = asking(server.url);
  const interruptions: Error[] = [];
  const found = await first(3, analytics.live({ onInterruption: (each) => interruptions.push(each) }));
  expect(found.map((each) => each.concurrentViewers)).toEqual([1, 2, 3]);
  expect(interruptions.map((each) => each.constructor)).toEqual([
    APIConnectionError,
    APIConnectionError,
    UnavailableError,
    APIConnectionError,
  ]);
  expect(waits).toEqual([500, 1000, 2000, 500]);
});

test('once a stream was open, reconnects are not limited', async () => {
  const server = await serve(stream([viewers(1)], cut), ...Array(20).fill(drop), stream([viewers(2)]));
  const { analytics, waits } = asking(server.url);
  expect(await first(2, analytics.live())).toHaveLength(2);
  expect(waits).toHaveLength(21);
  expect(Math.max(...waits)).toBe(8000);
});

test('reconnects in a row can be limited, and each answer resets their count', async () => {
  const server = await serve(stream([viewers(1)], cut), drop, stream([viewers(2)], cut), drop);
  const { analytics } = asking(server.url);
  const seen: number[] = [];
  const reading = (async () => {
    for await (const now of analytics.live({ maxReconnects: 2 })) seen.push(now.concurrentViewers);
  })();
  expect(await thrown(reading)).toBeInstanceOf(APIConnectionError);
  expect(seen).toEqual([1, 2]);
  expect(server.asked).toHaveLength(5);
});

test('a stream ends with the error after which the server asks for a pause of more than a minute', async () => {
  const server = await serve(
    stream([viewers(1)], cut),
    error(429, 'ANALYTICS_RATE_LIMIT', 'Too often.', { 'retry-after': '61' }),
  );
  const { analytics, waits } = asking(server.url);
  expect(await thrown(first(2, analytics.live()))).toBeInstanceOf(RateLimitError);
  expect(waits).toEqual([500]);
});

test('a stream that never opened is an error after the usual number of tries', async () => {
  const server = await serve(drop);
  const found = await thrown(first(1, asking(server.url).analytics.live()));
  expect(found).toBeInstanceOf(APIConnectionError);
  expect(server.asked).toHaveLength(3);
});

test('a silent stream is dropped and reopened', async () => {
  const server = await serve(stream([viewers(1)]), stream([viewers(2)]));
  const interruptions: Error[] = [];
  const { analytics } = asking(server.url);
  const live = analytics.live({ idleTimeout: 400, onInterruption: (each) => interruptions.push(each) });
  expect(await first(2, live)).toHaveLength(2);
  expect(interruptions).toHaveLength(1);
  expect(interruptions[0]).toBeInstanceOf(APITimeoutError);
});

test('time that the consumer spends on an answer does not count as silence of the stream', async () => {
  const server = await serve(
    stream([viewers(1)], (response) => {
      setTimeout(() => response.write(viewers(2)), 50);
      setTimeout(() => response.write(viewers(3)), 100);
    }),
  );
  const interruptions: Error[] = [];
  const { analytics } = asking(server.url);
  const seen: number[] = [];
  for await (const now of analytics.live({
    idleTimeout: 300,
    onInterruption: (e) => interruptions.push(e),
  })) {
    seen.push(now.concurrentViewers);
    if (seen.length === 3) break;
    await new Promise((thought) => setTimeout(thought, 450));
  }
  expect(seen).toEqual([1, 2, 3]);
  expect(interruptions).toEqual([]);
});

test('an error event is reported as an interruption, and the stream continues', async () => {
  const body = {
    success: false,
    error: { code: 'ANALYTICS_DATA_UNAVAILABLE', message: 'Not now.', details: {} },
  };
  const server = await serve(stream([viewers(1), told('error', body), told('news', {}), viewers(2)]));
  const interruptions: Error[] = [];
  const { analytics } = asking(server.url);
  const found = await first(2, analytics.live({ onInterruption: (each) => interruptions.push(each) }));
  expect(found.map((each) => each.concurrentViewers)).toEqual([1, 2]);
  expect(interruptions.map((each) => each.message)).toEqual(['503 ANALYTICS_DATA_UNAVAILABLE: Not now.']);
  expect(server.asked).toHaveLength(1);
});

test('a 404 on reconnecting ends the stream with NotFoundError', async () => {
  const gone = error(404, 'ANALYTICS_DATA_UNAVAILABLE', 'There is no video with this id.');
  const server = await serve(stream([viewers(1)], end), gone);
  const { analytics } = asking(server.url);
  expect(await thrown(first(2, analytics.videoLive('v1')))).toBeInstanceOf(NotFoundError);
});

test('an event that is no answer of the API is an error', async () => {
  const server = await serve(stream([told('live', { hello: 'world' })]));
  const found = await thrown(first(1, asking(server.url).analytics.live()));
  expect(found).toBeInstanceOf(APIResponseError);
});

test('an abort ends the stream with the reason of the signal, without an interruption', async () => {
  const server = await serve(stream([viewers(1)]));
  const abort = new AbortController();
  const interruptions: Error[] = [];
  const { analytics } = asking(server.url);
  const live = analytics.live({ signal: abort.signal, onInterruption: (each) => interruptions.push(each) });
  const reason = new Error('enough');
  const reading = (async () => {
    for await (const _ of live) setTimeout(() => abort.abort(reason), 10);
  })();
  expect(await thrown(reading)).toBe(reason);
  expect(interruptions).toEqual([]);
  await vi.waitFor(() => expect(server.left).toBe(1));
});

test('a character whose bytes are split between two packets is decoded correctly', async () => {
  const bytes = Buffer.from(told('live', { data: { title: 'Größe 🎬' }, meta: META }));
  const cutAt = bytes.indexOf('🎬') + 2;
  const server = await serve((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write(bytes.subarray(0, cutAt));
    setTimeout(() => response.write(bytes.subarray(cutAt)), 100);
  });
  const [found] = await first(1, asking(server.url).analytics.videoLive('v1'));
  expect(found?.title).toBe('Größe 🎬');
});
