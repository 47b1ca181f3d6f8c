/** What has happened on the platform that the running API tells of: `make test` sends it to Kafka. */

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

/** Name of what needs a running API; without one it says why it is skipped. */
export function named(name: string): string {
  return inject('api') ? name : `${name} (skipped: VIDEOCLOUD_BASE_URL names no running API)`;
}

/** The running API; only tests that are not skipped look at it. */
export function api(): Api {
  const found = inject('api');
  if (found === null) throw new Error('VIDEOCLOUD_BASE_URL names no running API');
  return found;
}

/** A key that opens what has the scope read, with a rate limit of its own. */
export function readKey(): string {
  return api().readKey;
}

/** The environment in which a program finds the running API. */
export function environment(): Record<string, string> {
  const { baseUrl, apiKey } = api();
  return { VIDEOCLOUD_BASE_URL: baseUrl, VIDEOCLOUD_API_KEY: apiKey };
}
