/** The events that the running API has counted: `make test` has sent them to Kafka. */

import { readFile } from 'node:fs/promises';
import { inject } from 'vitest';
import type { Api } from './installed.js';

interface World {
  video: string;
  title: string;
  /** The user of each view. */
  viewers: string[];
  /** The user of each like. */
  likes: string[];
  /** How long each view was watched. */
  watchedMs: number;
}

export const WORLD: World = JSON.parse(await readFile(new URL('world.json', import.meta.url), 'utf8'));
export const VIEWS: number = WORLD.viewers.length;
export const PEOPLE: number = new Set(WORLD.viewers).size;

/** Return the name of tests that need a running API; without an API, with the reason for skipping them. */
export function named(name: string): string {
  return inject('api') ? name : `${name} (skipped: VIDEOCLOUD_BASE_URL names no running API)`;
}

/** Return the running API; only tests that are not skipped may call this. */
export function api(): Api {
  const found = inject('api');
  if (found === null) throw new Error('VIDEOCLOUD_BASE_URL names no running API');
  return found;
}

/** Return a key with the scope `read` only, and with a rate limit of its own. */
export function readKey(): string {
  return api().readKey;
}

/** Return the environment variables with which a program finds the running API. */
export function environment(): Record<string, string> {
  const { baseUrl, apiKey } = api();
  return { VIDEOCLOUD_BASE_URL: baseUrl, VIDEOCLOUD_API_KEY: apiKey };
}
