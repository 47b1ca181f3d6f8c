/** Tests of types. Nothing here runs: `npm run check` compiles this file, and fails if a type is wrong. */

import { expectTypeOf, test } from 'vitest';
import type { Analytics, UserMetric, VideoMetric, VideoOptions } from '../src/index.js';

declare const analytics: Analytics;
declare const some: VideoMetric[];
declare const one: UserMetric;

test('the compiler knows the fields of answers', () => {
  const unused = async (): Promise<void> => {
    const all = await analytics.getVideo('v');
    expectTypeOf(all.views.byCountry).toEqualTypeOf<{ [country: string]: number }>();
    expectTypeOf(all.engagement.completionRate).toEqualTypeOf<number | null>();
    expectTypeOf(all.performance.averageBitrate).toEqualTypeOf<string | null>();
    expectTypeOf(all.meta.source).toEqualTypeOf<'redis' | 'clickhouse'>();

    const named = await analytics.getVideo('v', { period: '7d', metrics: ['views', 'engagement'] });
    expectTypeOf(named.views.total).toEqualTypeOf<number>();
    // @ts-expect-error: `performance` was not requested
    void named.performance;

    const unknown = await analytics.getVideo('v', { metrics: some });
    // @ts-expect-error: `views` may not have been requested
    void unknown.views.total;
    expectTypeOf(unknown.views?.total).toEqualTypeOf<number | undefined>();

    const either = await analytics.getUsers({ metrics: [one] });
    // @ts-expect-error: `activity` may not have been requested
    void either.activity.actions;

    const options: VideoOptions = { period: '7d' };
    const later = await analytics.getVideo('v', options);
    expectTypeOf(later.views?.total).toEqualTypeOf<number | undefined>();
  };
  void unused;
});

test('the compiler knows which parameters are allowed', () => {
  const unused = async (): Promise<void> => {
    await analytics.getUsers({ start: new Date(), end: '2024-04-01T00:00:00Z' });
    // @ts-expect-error: there is no such period
    await analytics.getUsers({ period: '8d' });
    // @ts-expect-error: a period and a window exclude each other
    await analytics.getUsers({ period: '7d', start: new Date(), end: new Date() });
    // @ts-expect-error: a window needs an end
    await analytics.getUsers({ start: new Date() });
    // @ts-expect-error: there is no such metric of users
    await analytics.getUsers({ metrics: ['views'] });
    // @ts-expect-error: there is no such parameter
    await analytics.getVideosSummary({ perod: '7d' });
    await analytics.export({ type: 'system', metrics: ['uptime'], format: 'parquet' });
    // @ts-expect-error: a metric of another export type
    await analytics.export({ type: 'user', metrics: ['views'] });
  };
  void unused;
});
