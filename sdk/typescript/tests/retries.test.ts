import { expect, test } from 'vitest';
import {
  APIConnectionError,
  APIResponseError,
  APITimeoutError,
  type Refusal,
  statusError,
  VideoCloudError,
} from '../src/errors.js';
import { isTransient, pause, pauseOfStream, retryAfter } from '../src/retries.js';

const never = (): number => 0;

function refused(status: number, more: Partial<Refusal> = {}): VideoCloudError {
  return statusError('no', {
    status,
    code: undefined,
    details: {},
    requestId: undefined,
    retryAfter: undefined,
    ...more,
  });
}

test.each([408, 409, 429, 500, 502, 503, 504])('status %d is retried', (status) => {
  expect(isTransient(refused(status))).toBe(true);
});

test.each([400, 401, 403, 404, 405, 410, 413, 422])('status %d is not retried', (status) => {
  expect(isTransient(refused(status))).toBe(false);
});

test('lost connections and time-outs are retried; answers of another server and faults of the SDK are not', () => {
  expect(isTransient(new APIConnectionError('lost'))).toBe(true);
  expect(isTransient(new APITimeoutError('silent'))).toBe(true);
  expect(isTransient(new APIResponseError('a page', 200))).toBe(false);
  expect(isTransient(new VideoCloudError('other'))).toBe(false);
  expect(isTransient(new TypeError('ours'))).toBe(false);
});

test('a failed export is not retried', () => {
  expect(isTransient(refused(500, { code: 'ANALYTICS_EXPORT_FAILED' }))).toBe(false);
});

test('pauses double from 0.5 s up to 8 s', () => {
  const pauses = [0, 1, 2, 3, 4, 5, 60].map((tried) => pause(refused(503), tried, 100, never));
  expect(pauses).toEqual([500, 1000, 2000, 4000, 8000, 8000, 8000]);
});

test('random jitter shortens a pause by up to a quarter', () => {
  expect(pause(refused(503), 1, 2, () => 0.999_999)).toBeCloseTo(750, 0);
});

test('there are as many pauses as retries are allowed', () => {
  expect(pause(refused(503), 2, 2, never)).toBeUndefined();
  expect(pause(refused(503), 0, 0, never)).toBeUndefined();
});

test('a wait that the server requests is kept exactly, up to a minute', () => {
  expect(pause(refused(429, { retryAfter: 60_000 }), 0, 2, () => 0.5)).toBe(60_000);
  expect(pause(refused(503, { retryAfter: 0 }), 0, 2, () => 0.5)).toBe(0);
  expect(pause(refused(429, { retryAfter: 60_001 }), 0, 2, never)).toBeUndefined();
});

test('a stream keeps the same rule, but is never reopened without a pause', () => {
  expect(pauseOfStream(refused(503, { retryAfter: 0 }), 3, Number.POSITIVE_INFINITY, never)).toBe(4000);
  expect(pauseOfStream(refused(503, { retryAfter: 60_000 }), 3, Number.POSITIVE_INFINITY, never)).toBe(
    60_000,
  );
  expect(
    pauseOfStream(refused(503, { retryAfter: 60_001 }), 3, Number.POSITIVE_INFINITY, never),
  ).toBeUndefined();
  expect(pauseOfStream(new APIConnectionError('lost'), 1, 2, () => 0.999_999)).toBeCloseTo(750, 0);
  expect(pauseOfStream(new APIConnectionError('lost'), 2, 2, never)).toBeUndefined();
});

test.each([
  ['2', 2000],
  ['0.5', 500],
  ['0', 0],
  ['Sat, 30 Mar 2024 14:05:30 GMT', 3000],
  ['Sat, 30 Mar 2024 14:05:00 GMT', 0],
  ['-1', undefined],
  ['soon', undefined],
  ['', undefined],
  [null, undefined],
])('Retry-After: %s is %s ms', (header, milliseconds) => {
  expect(retryAfter(header, Date.UTC(2024, 2, 30, 14, 5, 27))).toBe(milliseconds);
});
