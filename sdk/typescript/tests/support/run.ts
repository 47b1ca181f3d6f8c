/** Runs programs as a user would, in the project in which the package is installed. */

import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { transformSync } from 'rolldown/utils';

export interface Outcome {
  code: number | null;
  output: string;
  errors: string;
}

/** The start of a command line that runs a program. */
export type Runtime = readonly [string, ...string[]];

const NODE: Runtime = [process.execPath];

/**
 * Run a program until it ends, with Node unless told otherwise; with `interrupt`, send it SIGINT after its first output.
 *
 * Its environment has only the given variables, PATH, and a folder for what Deno caches.
 */
export async function run(
  file: string,
  cwd: string,
  env: Record<string, string> = {},
  interrupt = false,
  [command, ...options]: Runtime = NODE,
): Promise<Outcome> {
  const { PATH } = process.env;
  const child = spawn(command, [...options, file], {
    cwd,
    env: { PATH, DENO_DIR: join(cwd, '.deno'), ...env },
  });
  const found: Outcome = { code: null, output: '', errors: '' };
  child.stdout.on('data', (piece) => {
    found.output += piece;
  });
  // Only once: a second SIGINT would kill a program that handles the first one only.
  if (interrupt) child.stdout.once('data', () => child.kill('SIGINT'));
  child.stderr.on('data', (piece) => {
    found.errors += piece;
  });
  found.code = await new Promise((ended) => child.on('close', ended));
  return found;
}

/** Convert a TypeScript program to JavaScript without type checks, write it into the project, and run it. */
export async function runTypeScript(
  source: string,
  name: string,
  project: string,
  env: Record<string, string>,
  runtime: Runtime = NODE,
): Promise<Outcome> {
  const { code } = transformSync(`${name}.ts`, source);
  await writeFile(join(project, `${name}.mjs`), code);
  return await run(`${name}.mjs`, project, env, source.includes('SIGINT'), runtime);
}
