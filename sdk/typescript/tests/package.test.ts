/** The package as users get it: packed, and installed into an empty project. */

import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createContext, runInContext } from 'node:vm';
import { rolldown } from 'rolldown';
import ts from 'typescript';
import { expect, inject, test } from 'vitest';
import { compile } from './support/compile.js';
import { run } from './support/run.js';
import { data, META, serve } from './support/server.js';

const project = inject('project');
const folder = join(project, 'node_modules/@videocloud/sdk');
const README = await readFile(new URL('../README.md', import.meta.url), 'utf8');
const PROGRAMS = [...README.matchAll(/^```ts\n(.*?)^```/gms)].map(([, source = '']) => source);
const REFERENCE = await readFile(new URL('support/reference.txt', import.meta.url), 'utf8');

const FACES = `
  console.log(typeof VideoCloud, new VideoCloud({ baseUrl: 'http://a.example' }).baseUrl);
  console.log(new NotFoundError('no', { status: 404, details: {} }) instanceof APIStatusError);
`;
const SAID = 'function http://a.example\ntrue\n';

test('the package has the expected files and no dependencies', async () => {
  const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((each) =>
    each.isFile(),
  );
  expect(files.map(({ name }) => name).sort()).toEqual([
    'LICENSE',
    'README.md',
    'index.cjs',
    'index.d.cts',
    'index.d.ts',
    'index.js',
    'package.json',
  ]);
  const { dependencies, peerDependencies } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
  expect([dependencies, peerDependencies]).toEqual([undefined, undefined]);
});

test('an ES module can import the package', async () => {
  const source = `import { APIStatusError, NotFoundError, VideoCloud } from '@videocloud/sdk';${FACES}`;
  await writeFile(join(project, 'imports.mjs'), source);
  expect(await run('imports.mjs', project)).toEqual({ code: 0, output: SAID, errors: '' });
});

test('a CommonJS module can require the package', async () => {
  const source = `const { APIStatusError, NotFoundError, VideoCloud } = require('@videocloud/sdk');${FACES}`;
  await writeFile(join(project, 'requires.cjs'), source);
  expect(await run('requires.cjs', project)).toEqual({ code: 0, output: SAID, errors: '' });
});

const WRONG = REFERENCE.replace('views.total', 'views.totl');
const noticed = (file: string): unknown =>
  expect.stringContaining(`${file}:13: Property 'totl' does not exist`);

test('the example of the API reference compiles for browsers, with module resolution of a bundler', () => {
  const options = { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler };
  const files = { 'reference.ts': REFERENCE, 'wrong.ts': WRONG };
  expect(compile(files, project, { exactOptionalPropertyTypes: true, ...options })).toEqual([
    noticed('wrong.ts'),
  ]);
});

test('the example compiles for Node, as ES module and as CommonJS, and so do the programs of the README', () => {
  const files = {
    ...Object.fromEntries(PROGRAMS.map((source, number) => [`readme-${number}.mts`, source])),
    ...{ 'reference.mts': REFERENCE, 'wrong.mts': WRONG, 'reference.cts': REFERENCE, 'wrong.cts': WRONG },
  };
  const options = {
    module: ts.ModuleKind.NodeNext,
    lib: ['lib.es2022.d.ts'],
    types: ['node'],
    typeRoots: [fileURLToPath(new URL('../node_modules/@types', import.meta.url))],
  };
  expect(compile(files, project, options)).toEqual([noticed('wrong.cts'), noticed('wrong.mts')]);
});

test('a bundle for browsers has no imports, and runs with the globals of a browser', async () => {
  const bundle = await rolldown({
    input: 'page',
    cwd: project,
    platform: 'browser',
    plugins: [
      {
        name: 'page',
        resolveId: (id) => (id === 'page' ? join(project, 'page.js') : null),
        load: (id) =>
          id === join(project, 'page.js')
            ? `import { VideoCloud } from '@videocloud/sdk';
               const client = new VideoCloud({ baseUrl: origin + '/proxy' });
               shown = Promise.all([
                 client.analytics.getVideo('v1'),
                 client.analytics.download('exp_1').saveTo('here').catch(String),
               ]);`
            : null,
      },
    ],
  });
  const { output } = await bundle.generate({ format: 'iife' });
  expect(output).toHaveLength(1);
  expect(output[0].imports).toEqual([]);
  expect(output[0].dynamicImports).toEqual([]);

  const server = await serve(data({ views: { total: 3 } }));
  const page = createContext({ ...BROWSER, origin: server.url, window: {}, document: {}, shown: undefined });
  runInContext(output[0].code, page);
  const [video, saved] = await page.shown;
  expect(video).toEqual({ views: { total: 3 }, meta: META });
  expect(saved).toContain('saveTo() needs a file system');
  expect(server.asked[0]?.url).toBe('/proxy/analytics/videos/v1');
  expect(server.asked[0]?.headers['user-agent']).not.toContain('videocloud');
});

/** Globals that a page has, taken from Node. */
const BROWSER = {
  ...{ AbortController, Blob, clearTimeout, fetch, performance, ReadableStream, setTimeout },
  ...{ TextDecoder, URL, URLSearchParams },
};
