/** When a request is tried again, and after how long. Pure: chance and time are arguments. */

import { APIConnectionError, APIStatusError } from './errors.js';

const FIRST = 500;
const LONGEST = 8_000;
/** A server that asks for more patience than this, in milliseconds, is not waited for. */
export const LONGEST_RETRY_AFTER = 60_000;

/** Say whether the same request may succeed in a moment. */
export function isTransient(error: unknown): boolean {
  if (error instanceof APIConnectionError) return true;
  if (!(error instanceof APIStatusError)) return false;
  // A 500 with this code tells of an export that has failed for good.
  if (error.code === 'ANALYTICS_EXPORT_FAILED') return false;
  return error.status >= 500 || [408, 409, 429].includes(error.status);
}

/**
 * Return the milliseconds to wait before the next try; undefined when there is none.
 *
 * `tried` counts the tries that failed before this one. Without a wish of the server it is 0.5 s, doubled with
 * each try up to 8 s, less up to a quarter by chance, so that many clients do not come back all at once.
 * `random` returns numbers in [0, 1).
 */
export function pause(error: unknown, tried: number, most: number, random: () => number): number | undefined {
  if (tried >= most || !isTransient(error)) return undefined;
  const wished = error instanceof APIStatusError ? error.retryAfter : undefined;
  if (wished !== undefined) return wished <= LONGEST_RETRY_AFTER ? wished : undefined;
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
