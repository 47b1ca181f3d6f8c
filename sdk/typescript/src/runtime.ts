/** What differs between Node and browsers. Nothing of Node is imported, so that any bundler is content. */

import type * as FileSystem from 'node:fs/promises';

interface Process {
  env?: Record<string, string | undefined>;
  versions?: { node?: string };
  getBuiltinModule?: (name: string) => unknown;
}

function thisProcess(): Process | undefined {
  return (globalThis as { process?: Process }).process;
}

/** Return a variable of the environment, without blanks; undefined when it is empty or there is none. */
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
    throw new TypeError('There is no file system here: use stream(), blob() or text() instead of saveTo().');
  }
  return found as typeof FileSystem;
}

/** Return headers that tell the server who asks; none in a browser, which does that itself. */
export function introduction(version: string): Record<string, string> {
  return thisProcess()?.versions?.node ? { 'user-agent': `videocloud-typescript/${version}` } : {};
}
