import { getEventListeners } from 'node:events';
import { inspect } from 'node:util';
import { expect, onTestFinished, test, vi } from 'vitest';
import {
  APIConnectionError,
  APIResponseError,
  APITimeoutError,
  AuthenticationError,
  BadRequestError,
  RateLimitError,
  UnavailableError,
  VideoCloud,
} from '../src/index.js';
import { asking, data, drop, error, json, META, serve, silence, thrown } from './support/server.js';

const LIMITED = (seconds: string) =>
  error(429, 'ANALYTICS_RATE_LIMIT', 'This key asked too often.', { 'retry-after': seconds });

test('an answer has the fields of the data, and meta', async () => {
  const server = await serve(data({ views: { total: 3 } }));
  const video = await asking(server.url).analytics.getVideo('v1');
  expect(video).toEqual({ views: { total: 3 }, meta: META });
});

test('the API key, the parameters and a user agent are sent', async () => {
  const server = await serve(data({}));
  const { analytics } = asking(server.url, { headers: { 'x-team': 'web' } });
  await analytics.getVideo('v1', { period: '7d', metrics: ['views', 'engagement'], groupBy: 'hour' });
  const [asked] = server.asked;
  expect(asked?.url).toBe('/analytics/videos/v1?period=7d&metrics=views%2Cengagement&groupBy=hour');
  expect(asked?.headers.authorization).toBe('Bearer vca_test');
  expect(asked?.headers['x-team']).toBe('web');
  expect(asked?.headers['user-agent']).toMatch(/^videocloud-typescript\/\d+\.\d+\.\d+/);
});

test('a Date is sent in UTC, and an invalid Date is refused', async () => {
  const server = await serve(data({}));
  const { analytics } = asking(server.url);
  const end = '2024-03-25T00:00:00+05:30';
  await analytics.getUsers({ start: new Date('2024-03-24T01:00:00+05:30'), end });
  expect(server.asked[0]?.url).toBe(
    '/analytics/users?start=2024-03-23T19%3A30%3A00.000Z&end=2024-03-25T00%3A00%3A00%2B05%3A30',
  );
  const start = new Date('yesterday');
  expect(await thrown(analytics.getUsers({ start, end }))).toBeInstanceOf(RangeError);
  expect(await thrown(analytics.export({ type: 'video', start, end }))).toBeInstanceOf(RangeError);
  expect(server.asked).toHaveLength(1);
});

test('request options are not sent as parameters', async () => {
  const server = await serve(data({}));
  await asking(server.url).analytics.getUsers({
    timeout: 1000,
    maxRetries: 0,
    signal: AbortSignal.timeout(9e3),
  });
  expect(server.asked[0]?.url).toBe('/analytics/users');
});

test('after a 429 the SDK waits as long as Retry-After says', async () => {
  const server = await serve(LIMITED('7'), data({}));
  const { analytics, waits } = asking(server.url);
  await analytics.getLive();
  expect(waits).toEqual([7000]);
  expect(server.asked).toHaveLength(2);
});

test('a requested wait of more than a minute is an error that states the time', async () => {
  const server = await serve(LIMITED('3600'));
  const { analytics, waits } = asking(server.url);
  const found = await thrown(analytics.getLive());
  expect(found).toBeInstanceOf(RateLimitError);
  expect(found).toMatchObject({ status: 429, code: 'ANALYTICS_RATE_LIMIT', retryAfter: 3_600_000 });
  expect(waits).toEqual([]);
});

test('a request is retried after a dropped connection', async () => {
  const server = await serve(drop, drop, data({ totalViews: 1 }));
  const { analytics, waits } = asking(server.url);
  expect((await analytics.getVideosSummary()).totalViews).toBe(1);
  expect(waits).toEqual([500, 1000]);
});

test('a request is retried after an answer that breaks off in the middle', async () => {
  const server = await serve(
    (response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '999' });
      response.write('{"success": true, ', () => response.destroy());
    },
    data({ totalViews: 1 }),
  );
  expect((await asking(server.url).analytics.getVideosSummary()).totalViews).toBe(1);
});

test('a connection that drops at each try is an error with its cause', async () => {
  const server = await serve(drop);
  const found = await thrown(asking(server.url).analytics.getLive());
  expect(found).toBeInstanceOf(APIConnectionError);
  expect(found).not.toBeInstanceOf(APITimeoutError);
  expect((found as Error).message).toBe(`No response from ${server.url}/analytics/live: other side closed`);
  expect((found as Error).cause).toBeInstanceOf(Error);
  expect(server.asked).toHaveLength(3);
});

test('an address where nothing listens is an error that names the address', async () => {
  const found = await thrown(asking('http://127.0.0.1:1', { maxRetries: 0 }).analytics.getLive());
  expect(found).toBeInstanceOf(APIConnectionError);
  expect((found as Error).message).toContain('http://127.0.0.1:1/analytics/live: ');
});

test('a request without an answer is retried, and then an APITimeoutError', async () => {
  const server = await serve(silence);
  const found = await thrown(asking(server.url, { timeout: 300, maxRetries: 1 }).analytics.getLive());
  expect(found).toBeInstanceOf(APITimeoutError);
  expect((found as Error).message).toBe(
    `GET ${server.url}/analytics/live: no data arrived for 0.3 s (time-out).`,
  );
  expect(server.asked).toHaveLength(2);
});

test('a time-out is an APITimeoutError even if fetch reports only an abort', async () => {
  const deaf: typeof fetch = async (_, { signal } = {}) =>
    await new Promise((_answered, reject) => {
      signal?.addEventListener('abort', () => reject(new DOMException('Aborted.', 'AbortError')));
    });
  const { analytics } = asking('http://a.example', { fetch: deaf, timeout: 20, maxRetries: 0 });
  expect(await thrown(analytics.getLive())).toBeInstanceOf(APITimeoutError);
});

test('an answer whose body never arrives is a time-out too', async () => {
  const server = await serve((response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).write('{');
  });
  const found = await thrown(asking(server.url).analytics.getLive({ timeout: 300, maxRetries: 0 }));
  expect(found).toBeInstanceOf(APITimeoutError);
});

test('a 503 is retried, and then an error', async () => {
  const server = await serve(error(503, 'ANALYTICS_DATA_UNAVAILABLE', 'Not now.', { 'retry-after': '2' }));
  const { analytics, waits } = asking(server.url);
  const found = await thrown(analytics.getSystemHealth());
  expect(found).toBeInstanceOf(UnavailableError);
  expect((found as Error).message).toBe('503 ANALYTICS_DATA_UNAVAILABLE: Not now. (request 5f1c9e0a)');
  expect(waits).toEqual([2000, 2000]);
});

test('a request with a wrong parameter is not retried, and its error names the parameter', async () => {
  const details = { parameter: 'period', allowed: ['1d', '7d'], requestId: 'r1' };
  const server = await serve(
    json(400, {
      success: false,
      error: { code: 'ANALYTICS_INVALID_PERIOD', message: 'period must be one of 1d, 7d.', details },
    }),
  );
  const found = await thrown(asking(server.url).analytics.getUsers({ period: 'year' as '7d' }));
  expect(found).toBeInstanceOf(BadRequestError);
  expect(found).toMatchObject({
    name: 'BadRequestError',
    status: 400,
    code: 'ANALYTICS_INVALID_PERIOD',
    details: { parameter: 'period', allowed: ['1d', '7d'] },
    requestId: 'r1',
  });
  expect(server.asked).toHaveLength(1);
});

test('a wrong key is an error of one line, and a missing one says what to set', async () => {
  const server = await serve(error(401, 'ANALYTICS_UNAUTHORIZED', 'Send your API key as …'));
  const wrong = await thrown(asking(server.url).analytics.getLive());
  expect(wrong).toBeInstanceOf(AuthenticationError);
  expect((wrong as Error).message).toBe(
    `401 ANALYTICS_UNAUTHORIZED: ${server.url} rejected the API key: check VIDEOCLOUD_API_KEY or apiKey. (request 5f1c9e0a)`,
  );
  const missing = await thrown(asking(server.url, { apiKey: undefined }).analytics.getLive());
  expect((missing as Error).message).toContain('requires an API key: set VIDEOCLOUD_API_KEY, or pass apiKey');
  expect(server.asked[1]?.headers.authorization).toBeUndefined();
});

test('an HTML page instead of an answer is an error that points to baseUrl', async () => {
  const page = serve((response) => response.end('<html>Welcome</html>'));
  const found = await thrown(asking((await page).url).analytics.getLive());
  expect(found).toBeInstanceOf(APIResponseError);
  expect((found as Error).message).toContain('check baseUrl');
});

test('an error page of a proxy is an error with its status and without a code', async () => {
  const server = await serve((response) => response.writeHead(502).end('<html>Bad gateway</html>'), data({}));
  const { analytics, waits } = asking(server.url);
  const found = await thrown(analytics.getLive({ maxRetries: 0 }));
  expect(found).toMatchObject({ status: 502, code: undefined, message: '502: Bad Gateway' });
  await analytics.getLive();
  expect(waits).toEqual([]);
});

test('an aborted request is rejected with the reason of its signal, and closes its connection', async () => {
  const server = await serve(silence);
  const abort = new AbortController();
  const asked = thrown(asking(server.url).analytics.getLive({ signal: abort.signal }));
  await vi.waitFor(() => expect(server.asked).toHaveLength(1));
  const reason = new Error('the user went away');
  abort.abort(reason);
  expect(await asked).toBe(reason);
  await vi.waitFor(() => expect(server.left).toBe(1));
});

test('a signal that is aborted already sends no request', async () => {
  const server = await serve(data({}));
  const found = await thrown(asking(server.url).analytics.getLive({ signal: AbortSignal.abort() }));
  expect(found).toMatchObject({ name: 'AbortError' });
  expect(server.asked).toHaveLength(0);
});

test('a wait between tries can be aborted', async () => {
  const server = await serve(LIMITED('30'));
  const client = new VideoCloud({ baseUrl: server.url, apiKey: 'k' });
  const started = performance.now();
  const found = await thrown(client.analytics.getLive({ signal: AbortSignal.timeout(80) }));
  expect(found).toMatchObject({ name: 'TimeoutError' });
  expect(performance.now() - started).toBeLessThan(5_000);
});

test('a signal holds no listeners of finished requests', async () => {
  const server = await serve(data({}), drop, data({}));
  const { signal } = new AbortController();
  const { analytics } = asking(server.url);
  await analytics.getLive({ signal });
  await analytics.getLive({ signal });
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

test('the client reads the environment, and its options take precedence', async () => {
  const server = await serve(data({}));
  vi.stubEnv('VIDEOCLOUD_API_KEY', 'vca_environment');
  vi.stubEnv('VIDEOCLOUD_BASE_URL', `${server.url}/`);
  onTestFinished(() => void vi.unstubAllEnvs());
  await new VideoCloud().analytics.getLive();
  await new VideoCloud({ apiKey: 'vca_told' }).analytics.getLive();
  expect(server.asked.map(({ headers }) => headers.authorization)).toEqual([
    'Bearer vca_environment',
    'Bearer vca_told',
  ]);
  expect(new VideoCloud({ baseUrl: 'https://told.example.com' }).baseUrl).toBe('https://told.example.com');
});

test('without an address the client uses that of `make up`', () => {
  expect(new VideoCloud().baseUrl).toBe('http://127.0.0.1:8000');
});

test.each(['', 'with blank', 'line\n', 'schlüssel'])('the key %j is refused before any request', (apiKey) => {
  expect(() => new VideoCloud({ apiKey })).toThrow(TypeError);
});

test('the key is not shown when a client is printed', () => {
  const client = new VideoCloud({ apiKey: 'vca_secret' });
  expect(inspect(client, { depth: 9, showHidden: true }) + JSON.stringify(client)).not.toContain(
    'vca_secret',
  );
});

test('an API key in a browser is refused, unless an option allows it', () => {
  vi.stubGlobal('window', {});
  vi.stubGlobal('document', {});
  vi.stubGlobal('process', undefined);
  onTestFinished(() => void vi.unstubAllGlobals());
  expect(() => new VideoCloud({ apiKey: 'k', baseUrl: '/proxy' })).toThrow('allowKeyInBrowser');
  expect(new VideoCloud({ apiKey: 'k', baseUrl: '/proxy', allowKeyInBrowser: true }).baseUrl).toBe('/proxy');
  expect(new VideoCloud({ baseUrl: '/proxy' }).baseUrl).toBe('/proxy');
});

test('readiness with an unavailable store is an answer, not an error', async () => {
  const server = await serve(
    json(503, { status: 'unavailable', stores: { redis: false, clickhouse: false } }),
  );
  const client = new VideoCloud({ baseUrl: server.url, apiKey: 'k' });
  expect(await client.getReadiness()).toEqual({
    status: 'unavailable',
    stores: { redis: false, clickhouse: false },
  });
});
