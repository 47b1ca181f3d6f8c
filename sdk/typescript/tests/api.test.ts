/** Tests against a running API. */

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import {
  APITimeoutError,
  AuthenticationError,
  BadRequestError,
  GoneError,
  NotFoundError,
  PermissionDeniedError,
  VideoCloud,
  type VideoCloudOptions,
} from '../src/index.js';
import { line } from './support/proxy.js';
import { runTypeScript } from './support/run.js';
import { thrown } from './support/server.js';
import { api, environment, named, PEOPLE, readKey, VIEWS, WORLD } from './support/world.js';

function client(options: VideoCloudOptions = {}): VideoCloud {
  return new VideoCloud({ ...api(), ...options });
}

/** Request data from the API without the SDK. */
async function plainly(path: string): Promise<unknown> {
  const { baseUrl, apiKey } = api();
  const response = await fetch(baseUrl + path, { headers: { 'x-api-key': apiKey } });
  return ((await response.json()) as { data: unknown }).data;
}

/** From a day ago until an hour from now: the window is not over, but nothing more happens in it. */
const window = {
  start: new Date(Date.now() - 86_400_000),
  end: new Date(Date.now() + 3_600_000),
};
const asked = `start=${window.start.toISOString()}&end=${window.end.toISOString()}`;

describe.skipIf(inject('api') === null)(named('the running API'), () => {
  test('the unchanged example of the API reference prints the expected numbers', async () => {
    const reference = await readFile(new URL('support/reference.txt', import.meta.url), 'utf8');
    const calls = 'await getVideoAnalytics(); await getUserAnalytics(); await exportAnalytics();';
    const { VIDEOCLOUD_BASE_URL = '' } = environment();
    const found = await runTypeScript(`${reference}\n${calls}`, 'reference', inject('project'), {
      VIDEOCLOUD_BASE_URL,
    });
    expect(found.errors).toBe('');
    const [views, daily, link] = found.output.split('\n');
    expect([views, daily]).toEqual([`${VIEWS}`, `${PEOPLE}`]);
    expect(link).toMatch(new RegExp(`^${VIDEOCLOUD_BASE_URL}/analytics/export/exp_\\w+/download\\?token=`));
  });

  test('analytics of a video have the numbers of the events sent', async () => {
    const video = await client().analytics.getVideo(WORLD.video, { ...window, groupBy: 'day' });
    expect(video.views).toMatchObject({ total: VIEWS, unique: PEOPLE, byCountry: { DE: VIEWS } });
    expect(video.engagement).toMatchObject({
      averageWatchTime: WORLD.watchedMs / 1000,
      likes: WORLD.likes.length,
    });
    expect(video.meta.timezone).toBe('UTC');
  });

  test('every answer of the SDK equals the answer to a plain request', async () => {
    const { analytics } = client();
    const users = { ...window, metrics: ['activity', 'growth'] } as const;
    const answers = [
      [await analytics.getVideo(WORLD.video, window), `/analytics/videos/${WORLD.video}?${asked}`],
      [await analytics.getVideosSummary(window), `/analytics/videos/summary?${asked}`],
      [await analytics.getUsers(users), `/analytics/users?${asked}&metrics=activity,growth`],
      [await analytics.getUserEngagement(window), `/analytics/users/engagement?${asked}`],
      [await analytics.getSystemHealth(window), `/analytics/system/health?${asked}`],
      [await analytics.getSystemPerformance(window), `/analytics/system/performance?${asked}`],
    ] as const;
    for (const [{ meta, ...data }, path] of answers) {
      expect(meta.partial).toBe(true);
      expect(data).toEqual(await plainly(path));
    }
    expect((await analytics.getVideosSummary(window)).topVideos[0]).toMatchObject({
      id: WORLD.video,
      title: WORLD.title,
      views: VIEWS,
    });
  });

  test('the health and readiness probes answer', async () => {
    expect(await client().getHealth()).toMatchObject({ status: 'ok' });
    expect(await client().getReadiness()).toMatchObject({ status: 'ok', stores: { redis: true } });
  });

  test('a wrong key is an error with a message of one line', async () => {
    const found = await thrown(client({ apiKey: 'vca_wrong' }).analytics.getLive());
    expect(found).toBeInstanceOf(AuthenticationError);
    expect((found as Error).message).toMatch(
      /^401 ANALYTICS_UNAUTHORIZED: http:\S+ rejected the API key: check VIDEOCLOUD_API_KEY or apiKey\. \(request \w+\)$/,
    );
  });

  test('unknown ids and wrong parameters have errors of their own', async () => {
    const { analytics } = client();
    expect(await thrown(analytics.getVideo('no_such_video'))).toBeInstanceOf(NotFoundError);
    expect(await thrown(analytics.getExport('exp_none'))).toBeInstanceOf(NotFoundError);
    const wrong = await thrown(analytics.getUsers({ period: 'year' as '7d' }));
    expect(wrong).toBeInstanceOf(BadRequestError);
    expect(wrong).toMatchObject({ code: 'ANALYTICS_INVALID_PERIOD', details: { parameter: 'period' } });
    expect((wrong as BadRequestError).details.allowed).toContain('7d');
    const misspelt = await thrown(analytics.getUsers({ perod: '7d' } as object));
    expect((misspelt as Error).message).toContain("There is no parameter 'perod' here");
  });

  test('a time-out is an APITimeoutError', async () => {
    const found = await thrown(client({ timeout: 1, maxRetries: 0 }).analytics.getVideosSummary());
    expect(found).toBeInstanceOf(APITimeoutError);
  });

  test('a request is retried after a dropped connection', async () => {
    const broken = await line(api().baseUrl, [-1, 40]);
    const { analytics } = client({ baseUrl: broken.url });
    expect((await analytics.getVideo(WORLD.video, window)).views.total).toBe(VIEWS);
    expect(broken.connections).toBe(3);
  });

  test('after a 429 the SDK waits: requests over the rate limit are all answered', async () => {
    const statuses: number[] = [];
    let limit = 0;
    const { analytics } = client({
      apiKey: readKey(),
      maxRetries: 9,
      fetch: async (...call) => {
        const response = await fetch(...call);
        statuses.push(response.status);
        limit = Number(response.headers.get('ratelimit-limit'));
        if (response.status === 429) expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
        return response;
      },
    });
    await analytics.getLive();
    const asked = limit + 20;
    await Promise.all(Array.from({ length: asked }, () => analytics.getLive()));
    expect(statuses).toContain(429);
    expect(statuses.filter((status) => status === 200)).toHaveLength(1 + asked);
  });

  test('a key without the required scope is an error that names the scope', async () => {
    const { analytics } = client({ apiKey: readKey() });
    const found = await thrown(analytics.getSystemHealth());
    expect(found).toBeInstanceOf(PermissionDeniedError);
    expect((found as Error).message).toContain(
      '403 ANALYTICS_FORBIDDEN: This key does not have the scope system',
    );
  });

  test('a live stream continues after a broken connection', async () => {
    const broken = await line(api().baseUrl, [9_000]);
    const { analytics } = client({ baseUrl: broken.url });
    const interruptions: Error[] = [];
    const minutes: number[] = [];
    const live = analytics.videoLive(WORLD.video, { onInterruption: (error) => interruptions.push(error) });
    for await (const { id, timeline, meta } of live) {
      expect(id).toBe(WORLD.video);
      expect(timeline.reduce((sum, { views }) => sum + views, 0)).toBe(VIEWS);
      minutes.push(Date.parse(meta.asOf));
      if (interruptions.length > 0 && minutes.length > 2) break;
    }
    expect(minutes).toEqual([...minutes].sort());
    expect(interruptions).toHaveLength(1);
    expect(broken.connections).toBe(2);
  });

  test('a live stream of an unknown video is an error', async () => {
    expect(await thrown(client().analytics.videoLive('no_such_video').next())).toBeInstanceOf(NotFoundError);
    const { value } = await client().analytics.live().next();
    expect(value?.trending).toBeInstanceOf(Array);
  });

  test('an export is created, awaited, and saved despite a broken connection', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sdk-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const { analytics } = client();
    const ready = await analytics.waitForExport(
      await analytics.export({ type: 'video', format: 'csv', metrics: ['views'], ...window }),
    );
    const whole = await analytics.download(ready).text();
    expect(whole.split('\n')[1]).toContain(WORLD.video);

    const broken = await line(api().baseUrl, [Math.floor(ready.bytes / 2)]);
    const downloadUrl = ready.downloadUrl.replace(api().baseUrl, broken.url);
    const path = join(folder, 'videos.csv');
    const size = await analytics.download({ ...ready, downloadUrl }).saveTo(path);
    expect(size).toBe(ready.bytes);
    expect(await readFile(path, 'utf8')).toBe(whole);
    expect(broken.connections).toBe(2);
  });

  test('a download link that was tampered with is refused', async () => {
    const { analytics } = client();
    const ready = await analytics.waitForExport(await analytics.export({ type: 'user', ...window }));
    const url = ready.downloadUrl;
    const other = url.at(-5) === 'A' ? 'B' : 'A';
    const tampered = { ...ready, downloadUrl: `${url.slice(0, -5)}${other}${url.slice(-4)}` };
    const found = await thrown(analytics.download(tampered).text());
    expect(found).toBeInstanceOf(PermissionDeniedError);
    expect(found).not.toBeInstanceOf(GoneError);
  });
});
