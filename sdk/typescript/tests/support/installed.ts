/** Packs the package and installs it into an empty project, once for all tests. */

import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { TestProject } from 'vitest/node';

const run = promisify(execFile);

/** Address and keys of a running API. */
export interface Api {
  baseUrl: string;
  apiKey: string;
  /** Another key, which has the scope `read` only. */
  readKey: string;
}

declare module 'vitest' {
  export interface ProvidedContext {
    /** Null if VIDEOCLOUD_BASE_URL is not set. */
    api: Api | null;
    /** Folder of the project in which the package is installed. */
    project: string;
  }
}

export default async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  const project = await mkdtemp(join(tmpdir(), 'videocloud-sdk-'));
  const here = fileURLToPath(new URL('../..', import.meta.url));
  await run('npm', ['pack', '--pack-destination', project], { cwd: here });
  const tarball = (await readdir(project)).find((name) => name.endsWith('.tgz'));
  await writeFile(join(project, 'package.json'), '{ "name": "empty", "private": true, "type": "module" }\n');
  await run('npm', ['install', '--offline', `./${tarball}`], { cwd: project });
  provide('project', project);
  return async () => await rm(project, { recursive: true });
}
