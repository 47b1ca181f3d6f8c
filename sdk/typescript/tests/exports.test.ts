import { access, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, onTestFinished, test, vi } from 'vitest';
import {
  APIConnectionError,
  type Export,
  ExportFailedError,
  ExportTimeoutError,
  GoneError,
} from '../src/index.js';
import { asking, data, drop, error, type Reply, type Server, serve, thrown } from './support/server.js';

const FILE = Buffer.from(Array.from({ length: 20_000 }, (_, n) => `${n},vid_${n % 7}\n`).join(''));

function standing(status: Export['status'], url = ''): Export {
  return {
    exportId: 'exp_1',
    status,
    downloadUrl: `${url}/analytics/export/exp_1/download?token=t`,
    expiresAt: '2024-04-01T12:00:00Z',
    rows: 20_000,
    bytes: FILE.length,
    ...(status === 'failed' ? { error: { code: 'ANALYTICS_EXPORT_FAILED', message: 'Out of room.' } } : {}),
  };
}

/** Send the file, or its part from the `Range` on, and cut the connection after `cut` bytes. */
function file({ cut = Number.POSITIVE_INFINITY, tag = '"1"' }: { cut?: number; tag?: string } = {}): Reply {
  return (response: ServerResponse, asked) => {
    const from = Number(/^bytes=(\d+)-$/.exec(asked.headers.range ?? '')?.[1] ?? 0);
    const same = asked.headers['if-range'] === tag;
    const part = FILE.subarray(same ? from : 0);
    response.writeHead(same ? 206 : 200, {
      'content-type': 'text/csv; charset=utf-8',
      'content-length': part.length,
      ...(tag === '' ? {} : { etag: tag }),
    });
    if (cut >= part.length) response.end(part);
    else response.write(part.subarray(0, cut), () => response.destroy());
  };
}

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'sdk-'));
  onTestFinished(() => rm(path, { recursive: true }));
  return path;
}

function completed(server: Server): Export {
  return standing('completed', server.url);
}

test('an export request is sent as JSON, with a Date in UTC', async () => {
  const server = await serve(data(standing('queued'), 202));
  const made = await asking(server.url).analytics.export({
    type: 'video',
    start: new Date(Date.UTC(2024, 2, 1)),
    end: '2024-04-01T00:00:00+02:00',
    metrics: ['views'],
    format: 'parquet',
  });
  expect(made.status).toBe('queued');
  const [asked] = server.asked;
  expect([asked?.method, asked?.url, asked?.headers['content-type']]).toEqual([
    'POST',
    '/analytics/export',
    'application/json',
  ]);
  expect(JSON.parse(asked?.body ?? '')).toEqual({
    type: 'video',
    start: '2024-03-01T00:00:00.000Z',
    end: '2024-04-01T00:00:00+02:00',
    metrics: ['views'],
    format: 'parquet',
  });
});

test('waiting for an export ends when its file is ready', async () => {
  const server = await serve(
    data(standing('queued')),
    data(standing('processing')),
    data(standing('completed')),
  );
  const seen: string[] = [];
  const onStatus = ({ status }: Export): void => void seen.push(status);
  const found = await asking(server.url).analytics.waitForExport('exp_1', { onStatus });
  expect(found.status).toBe('completed');
  expect(seen).toEqual(['queued', 'processing', 'completed']);
  expect(server.asked.map(({ url }) => url)).toEqual(Array(3).fill('/analytics/export/exp_1'));
});

test('a failed export is an error with the reason from the server', async () => {
  const server = await serve(data(standing('failed')));
  const found = await thrown(asking(server.url).analytics.waitForExport(standing('queued')));
  expect(found).toBeInstanceOf(ExportFailedError);
  expect((found as Error).message).toBe('Export exp_1 failed: Out of room.');
});

test('an export that takes too long is an ExportTimeoutError that holds the export', async () => {
  const server = await serve(data(standing('processing')));
  const found = await thrown(asking(server.url).analytics.waitForExport('exp_1', { waitTimeout: 100 }));
  expect(found).toBeInstanceOf(ExportTimeoutError);
  expect(found).toMatchObject({ export: { exportId: 'exp_1', status: 'processing' } });
});

test('every way to read a file returns all of it, and none sends the API key', async () => {
  const server = await serve(file());
  const { analytics } = asking(server.url);
  const ready = completed(server);
  expect(await analytics.download(ready).text()).toBe(FILE.toString());
  expect(Buffer.from(await analytics.download(ready).bytes()).equals(FILE)).toBe(true);
  const blob = await analytics.download(ready).blob();
  expect([blob.size, blob.type]).toEqual([FILE.length, 'text/csv; charset=utf-8']);
  expect(await new Response(analytics.download(ready).stream()).text()).toBe(FILE.toString());
  for (const { headers } of server.asked) expect(headers.authorization).toBeUndefined();
});

test('an id is enough for a download: the SDK requests the export and waits for it', async () => {
  const server: Server = await serve(
    (...call) => data(standing('processing', server.url))(...call),
    (...call) => data(completed(server))(...call),
    file(),
  );
  expect(await asking(server.url).analytics.download('exp_1').text()).toBe(FILE.toString());
});

test('after a broken connection, the download resumes at the same byte, and progress continues', async () => {
  const server = await serve(file({ cut: 70_000 }), drop, file({ cut: 50_000 }), file());
  const { analytics, waits } = asking(server.url);
  const progress: number[] = [];
  const onProgress = (received: number, total: number | null): void => {
    expect(total).toBe(FILE.length);
    progress.push(received);
  };
  const text = await analytics.download(completed(server), { onProgress }).text();
  expect(text).toBe(FILE.toString());
  expect(progress.at(-1)).toBe(FILE.length);
  expect(progress).toEqual([...progress].sort((a, b) => a - b));
  const ranges = server.asked.map(({ headers }) => Number(headers.range?.match(/\d+/)?.[0] ?? 0));
  expect(ranges[0]).toBe(0);
  expect(ranges[1]).toBeGreaterThan(0);
  expect(ranges[3]).toBeGreaterThan(ranges[2] as number);
  expect(waits).toHaveLength(3);
});

test('a file that changed in the meantime is not joined to its old first part', async () => {
  const endless: Reply = (response) => response.writeHead(200, { etag: '"2"' }).write('another one');
  const server = await serve(file({ cut: 70_000 }), endless);
  const found = await thrown(asking(server.url).analytics.download(completed(server)).text());
  expect(found).toBeInstanceOf(APIConnectionError);
  expect((found as Error).message).toContain('the file has changed since');
  await vi.waitFor(() => expect(server.left).toBe(2));
});

test('a broken download that cannot be resumed is an error at once', async () => {
  const server = await serve(file({ cut: 70_000, tag: '' }));
  const found = await thrown(asking(server.url).analytics.download(completed(server)).text());
  expect(found).toBeInstanceOf(APIConnectionError);
  expect(server.asked).toHaveLength(1);
});

test('a download without progress is retried a limited number of times', async () => {
  const server = await serve(file({ cut: 70_000 }), file({ cut: 0 }));
  const found = await thrown(asking(server.url).analytics.download(completed(server)).text());
  expect(found).toBeInstanceOf(APIConnectionError);
  expect(server.asked).toHaveLength(3);
});

test('a file is saved under its name once it is complete', async () => {
  const server = await serve(file({ cut: 70_000 }), file());
  const { analytics } = asking(server.url);
  const where = await folder();
  const path = join(where, 'views.csv');
  expect(await analytics.download(completed(server)).saveTo(path)).toBe(FILE.length);
  expect((await readFile(path)).equals(FILE)).toBe(true);
  await analytics.download(completed(server)).saveTo(pathToFileURL(join(where, 'more.csv')));
  expect(await readdir(where)).toEqual(['more.csv', 'views.csv']);
});

test('a failed download leaves no partial file', async () => {
  const server = await serve(file({ cut: 70_000, tag: '' }));
  const where = await folder();
  await thrown(asking(server.url).analytics.download(completed(server)).saveTo(join(where, 'views.csv')));
  expect(await readdir(where)).toEqual([]);
});

test('an aborted download is rejected with the reason of its signal', async () => {
  const server = await serve((response) => {
    response.writeHead(200, { 'content-length': FILE.length, etag: '"1"' }).write(FILE.subarray(0, 1000));
  });
  const abort = new AbortController();
  const reason = new Error('enough');
  const where = join(await folder(), 'views.csv');
  const onProgress = (): void => abort.abort(reason);
  const { analytics } = asking(server.url);
  const options = { signal: abort.signal, onProgress };
  expect(await thrown(analytics.download(completed(server), options).saveTo(where))).toBe(reason);
  await expect(access(where)).rejects.toThrow('ENOENT');
});

test('an expired link is a GoneError', async () => {
  const server = await serve(error(410, 'ANALYTICS_EXPORT_EXPIRED', 'The export has expired.'));
  expect(await thrown(asking(server.url).analytics.download(completed(server)).text())).toBeInstanceOf(
    GoneError,
  );
});

test('a stream that is cancelled while it waits for bytes closes its connection at once', async () => {
  const server = await serve((response) => {
    response.writeHead(200, { 'content-length': 100 });
    response.write('some');
  });
  const patient = { timeout: 50_000, maxRetries: 0 };
  const reader = asking(server.url).analytics.download(completed(server), patient).stream().getReader();
  await reader.read();
  const waiting = reader.read();
  await new Promise((resolve) => setTimeout(resolve, 50));
  const began = performance.now();
  await reader.cancel();
  expect((await waiting).done).toBe(true);
  expect(performance.now() - began).toBeLessThan(5_000);
  await vi.waitFor(() => expect(server.left).toBe(1));
});

test('a stream that is cancelled before its file is ready asks no more', async () => {
  const server = await serve(data(standing('queued')));
  const reader = asking(server.url).analytics.download('exp_1').stream().getReader();
  const waiting = reader.read();
  await vi.waitFor(() => expect(server.asked.length).toBeGreaterThan(0));
  await reader.cancel();
  await waiting;
  const asked = server.asked.length;
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  expect(server.asked.length).toBe(asked);
});
