/** Compares the client with the committed OpenAPI document. */

import { readFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { expect, expectTypeOf, test } from 'vitest';
import { type Operation, spec, TYPES, types } from '../scripts/openapi.mjs';
import { type Export, type ExportMetrics, VideoCloud } from '../src/index.js';
import { META, serve } from './support/server.js';

const { paths, components } = await spec();
const operations = Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
);

type Call = (client: VideoCloud) => Promise<unknown>;

async function first(answers: AsyncIterable<unknown>): Promise<unknown> {
  for await (const each of answers) return each;
  return undefined;
}

const dates = { start: '2024-03-01T00:00:00Z', end: '2024-04-01T00:00:00Z' } as const;
const zone = { timezone: 'Asia/Kolkata' } as const;

/** Every operation, called with every parameter that it has; a period and a window exclude each other. */
const CALLS: Record<string, Call[]> = {
  getVideo: [
    ({ analytics }) =>
      analytics.getVideo('a b', { period: '7d', metrics: ['views'], groupBy: 'day', ...zone }),
    ({ analytics }) => analytics.getVideo('a b', { ...dates, compare: 'none' }),
  ],
  getSummary: [
    ({ analytics }) => analytics.getVideosSummary({ period: '30d', compare: 'previous', ...zone }),
    ({ analytics }) => analytics.getVideosSummary(dates),
  ],
  getUsers: [
    ({ analytics }) => analytics.getUsers({ period: '30d', metrics: ['growth'], compare: 'none', ...zone }),
    ({ analytics }) => analytics.getUsers(dates),
  ],
  getEngagement: [
    ({ analytics }) => analytics.getUserEngagement({ period: '7d', ...zone }),
    ({ analytics }) => analytics.getUserEngagement(dates),
  ],
  getHealth: [
    ({ analytics }) => analytics.getSystemHealth({ period: '24h', ...zone }),
    ({ analytics }) => analytics.getSystemHealth(dates),
  ],
  getPerformance: [
    ({ analytics }) => analytics.getSystemPerformance({ period: '1h', ...zone }),
    ({ analytics }) => analytics.getSystemPerformance(dates),
  ],
  getLive: [({ analytics }) => analytics.getLive()],
  getVideoLive: [({ analytics }) => analytics.getVideoLive('a b')],
  streamLive: [({ analytics }) => first(analytics.live())],
  streamVideoLive: [({ analytics }) => first(analytics.videoLive('a b'))],
  createExport: [
    ({ analytics }) =>
      analytics.export({ type: 'user', period: '7d', metrics: ['growth'], format: 'csv', ...zone }),
    ({ analytics }) => analytics.export({ type: 'video', ...dates }),
  ],
  getExport: [({ analytics }) => analytics.getExport('a b')],
  downloadExport: [
    ({ analytics, baseUrl }) => {
      const downloadUrl = `${baseUrl}/analytics/export/a%20b/download?token=t`;
      return analytics.download({ exportId: 'a b', status: 'completed', downloadUrl } as Export).text();
    },
  ],
  healthz: [(client) => client.getHealth()],
  readyz: [(client) => client.getReadiness()],
};

/** Return the document's example of the answer, or else a minimal answer. */
function example(operation: Operation): { type: string; body: string; data: unknown } {
  const { content = {} } = operation.responses['202'] ?? operation.responses['200'] ?? {};
  const [type = '', { example: found } = {}] = Object.entries(content)[0] ?? [];
  if (type.startsWith('text/csv')) return { type, body: 'a,b\n', data: 'a,b\n' };
  if (type === 'text/event-stream') {
    const body = JSON.stringify({ success: true, data: { concurrentViewers: 1 }, meta: META });
    return { type, body: `event: live\ndata: ${body}\n\n`, data: { concurrentViewers: 1, meta: META } };
  }
  if (found === undefined) return { type, body: '{"status": "ok"}', data: { status: 'ok' } };
  const { data, meta } = found as { data: object; meta?: object };
  return { type, body: JSON.stringify(found), data: meta === undefined ? data : { ...data, meta } };
}

test('the generated types match the document: if not, run `npm run types`', async () => {
  expect(await readFile(TYPES, 'utf8')).toBe(await types());
});

test('the client has a call for each operation of the document, and for no other', () => {
  expect(Object.keys(CALLS).sort()).toEqual(operations.map(({ operation }) => operation.operationId).sort());
});

test.each(operations)(
  '$method $path: the call sends every parameter, and returns the answer',
  async ({ path, method, operation }) => {
    const { type, body, data } = example(operation);
    const server = await serve((response: ServerResponse) => {
      response.writeHead(200, { 'content-type': type }).end(body);
    });
    const client = new VideoCloud({ baseUrl: server.url, apiKey: 'k' });
    const sent = new Set<string>();
    const fields = new Set<string>();
    for (const call of CALLS[operation.operationId] ?? []) {
      expect(await call(client)).toEqual(data);
      const asked = server.asked.at(-1);
      const url = new URL(asked?.url ?? '', server.url);
      expect([asked?.method, url.pathname]).toEqual([method, path.replace('{id}', 'a%20b')]);
      for (const name of url.searchParams.keys()) sent.add(name);
      for (const name of Object.keys(JSON.parse(asked?.body || '{}'))) fields.add(name);
    }
    const known = (operation.parameters ?? []).filter((each) => each.in === 'query').map(({ name }) => name);
    expect([...sent].sort()).toEqual(known.sort());
    const wanted = method === 'POST' ? Object.keys(components.schemas.ExportRequest?.properties ?? {}) : [];
    expect([...fields].sort()).toEqual(wanted.sort());
  },
);

test('the metrics of exports, which the document lists in prose only, are those of the types', () => {
  const words = components.schemas.ExportRequest?.properties.metrics?.description ?? '';
  const told = Object.fromEntries(
    [...words.matchAll(/For `(\w+)`: ([^.]+)\./g)].map(([, type, names]) => [type, names?.split(', ')]),
  );
  const typed: { [Type in keyof ExportMetrics]: ExportMetrics[Type][] } = {
    video: ['views', 'engagement', 'performance'],
    user: ['activity', 'growth', 'retention'],
    system: ['api', 'processing', 'storage', 'uptime'],
  };
  expect(told).toEqual(typed);
  expectTypeOf<ExportMetrics['system']>().toEqualTypeOf<'api' | 'processing' | 'storage' | 'uptime'>();
});
