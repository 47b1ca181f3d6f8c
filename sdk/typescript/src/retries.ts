/** When a request is retried, and after how long. Pure: random numbers and the time are arguments. */

import { APIConnectionError, APIStatusError } from './errors.js';

const FIRST = 500;
const LONGEST = 8_000;
/** The longest `Retry-After` that is obeyed, in milliseconds; after a longer one, the request fails. */
export const LONGEST_RETRY_AFTER = 60_000;

/** Return whether an error is transient: the same request may succeed soon. */
export function isTransient(error: unknown): boolean {
  if (error instanceof APIConnectionError) return true;
  if (!(error instanceof APIStatusError)) return false;
  // A 500 with this code means an export that has failed permanently.
  if (error.code === 'ANALYTICS_EXPORT_FAILED') return false;
  return error.status >= 500 || [408, 409, 429].includes(error.status);
}

/**
 * Return the milliseconds to wait before the next retry; undefined to give up.
 *
 * `tried` counts the failed attempts before this one. The pause is the server's `Retry-After`, else 0.5 s, doubled
 * with each retry up to 8 s, minus a random part of up to a quarter, so that many clients do not retry all at once.
 * `random` returns numbers in [0, 1).
 */
export function pause(error: unknown, tried: number, most: number, random: () => number): number | undefined {
  if (tried >= most || !isTransient(error)) return undefined;
  const wished = error instanceof APIStatusError ? error.retryAfter : undefined;
  if (wished !== undefined) return wished <= LONGEST_RETRY_AFTER ? wished : undefined;
  return backoff(tried, random);
}

/**
 * Return the milliseconds to wait before a lost stream is reopened; undefined to give up.
 *
 * As `pause`, but never shorter than without a `Retry-After`, because nothing else limits the number of attempts.
 */
export function pauseOfStream(
  error: unknown,
  tried: number,
  most: number,
  random: () => number,
): number | undefined {
  const chance = random();
  const found = pause(error, tried, most, () => chance);
  return found === undefined
    ? undefined
    : Math.max(
        found,
        backoff(tried, () => chance),
      );
}

function backoff(tried: number, random: () => number): number {
  return Math.min(FIRST * 2 ** tried, LONGEST) * (1 - random() / 4);
}

/** Read a `Retry-After` header, in seconds or as a date, to milliseconds from `now`; undefined when it is neither. */
export function retryAfter(header: string | null, now: number): number | undefined {
  if (header === null || header.trim() === '') return undefined;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return seconds >= 0 ? seconds * 1000 : undefined;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
