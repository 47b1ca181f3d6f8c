/** The differences between Node (and Deno and Bun, which imitate it) and browsers. No module of Node is imported, so any bundler can be used. */

import type * as FileSystem from 'node:fs/promises';

interface Process {
  env?: Record<string, string | undefined>;
  versions?: { node?: string };
  getBuiltinModule?: (name: string) => unknown;
}

function thisProcess(): Process | undefined {
  return (globalThis as { process?: Process }).process;
}

/** Return an environment variable without surrounding spaces; undefined if it is empty or missing. */
export function environment(name: string): string | undefined {
  return thisProcess()?.env?.[name]?.trim() || undefined;
}

/** Say whether this is a page in a browser. */
export function inBrowser(): boolean {
  const { window, document } = globalThis as { window?: unknown; document?: unknown };
  return window !== undefined && document !== undefined && !thisProcess()?.versions?.node;
}

/** Return Node's file system; throw TypeError where there is none. */
export function fileSystem(): typeof FileSystem {
  const found = thisProcess()?.getBuiltinModule?.('node:fs/promises');
  if (!found) {
    throw new TypeError(
      'saveTo() needs a file system, as Node has: use stream(), blob(), bytes() or text() instead.',
    );
  }
  return found as typeof FileSystem;
}

/** Return the `user-agent` header; none in a browser, which sends its own. */
export function introduction(version: string): Record<string, string> {
  return thisProcess()?.versions?.node ? { 'user-agent': `videocloud-typescript/${version}` } : {};
}
