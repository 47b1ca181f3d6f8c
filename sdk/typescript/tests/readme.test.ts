/** The programs of README.md: each runs, and prints what the text around it says. */

import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { describe, expect, inject, test } from 'vitest';
import { type Runtime, runTypeScript } from './support/run.js';
import { environment, named, PEOPLE, VIEWS } from './support/world.js';

const README = await readFile(new URL('../README.md', import.meta.url), 'utf8');

/** The heading above each program, in order, and what the program prints. */
const PRINTED: [string, RegExp][] = [
  ['@videocloud/sdk', new RegExp(`^${VIEWS} views by ${PEOPLE} people\ncompleted: [01]`)],
  [
    'Questions',
    new RegExp(`^${PEOPLE} \\{\\s+unknown: ${PEOPLE},?\\s+\\}\nas of 20\\S+Z, and the window is not over\n$`),
  ],
  ['Windows and time zones', new RegExp(`^${VIEWS} views in seven days of Kolkata\n(20\\S+Z \\d+\n){6,7}$`)],
  ['Live', /^\d+ watching\n/],
  ['Exports', /(^|\n)(\d+) of \2\nvideos.csv has \2 bytes\n$/],
  ['Exports', /^\d rows, to be had until 20\S+Z\n(20\d\d-\d\d-\d\d\n)+$/],
  ['Errors', /^ANALYTICS_DATA_UNAVAILABLE \w+\n$/],
  ['Retries and time-outs', /^(null|[01].*)\n$/],
  ['Browsers', /^listening\n$/],
];

const programs = README.split(/^#+ /m).flatMap((section) =>
  [...section.matchAll(/^```ts\n(.*?)^```/gms)].map(([, source = '']) => ({
    heading: section.split('\n')[0] ?? '',
    source,
  })),
);

test('every program of the README has an expected output', () => {
  expect(programs.map(({ heading }) => heading)).toEqual(PRINTED.map(([heading]) => heading));
});

test('the README and the code have the same tree of errors', async () => {
  const code = await readFile(new URL('../src/errors.ts', import.meta.url), 'utf8');
  const names = (text: string): string[] => [...text.matchAll(/[├└]── (\w+)/g)].map(([, name = '']) => name);
  expect(names(README)).toEqual(names(code));
  const classes = [...code.matchAll(/^export class (\w+)/gm)].map(([, name = '']) => name);
  expect(['VideoCloudError', ...names(README)].sort()).toEqual(classes.sort());
});

/** What runs the programs; Bun and Deno only where they are installed: `npm install --global bun deno`. */
const RUNTIMES: [string, Runtime][] = [
  ['Node', [process.execPath]],
  ['Bun', ['bun', 'run']],
  ['Deno', ['deno', 'run', '--allow-all', '--quiet']],
];
const canRun = ([command]: Runtime): boolean => spawnSync(command, ['--version']).status === 0;

for (const [name, runtime] of RUNTIMES) {
  const missing = canRun(runtime) ? '' : ` (skipped: ${name} is not installed)`;
  describe.skipIf(inject('api') === null || missing !== '')(named(`run by ${name}${missing}`), () => {
    test.concurrent.each(programs.map((program, number) => ({ ...program, number })))(
      'the program $number, under $heading',
      async ({ source, number }) => {
        const file = `readme-${name}-${number}`;
        const found = await runTypeScript(source, file, inject('project'), environment(), runtime);
        expect(found.errors).toBe('');
        expect(found.output).toMatch(PRINTED[number]?.[1] as RegExp);
        expect(found.code).toBe(0);
      },
    );
  });
}
