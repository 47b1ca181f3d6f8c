import { defineConfig, type ViteUserConfig } from 'vitest/config';

const config: ViteUserConfig = defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    globalSetup: 'tests/support/installed.ts',
    // No file leaves anything behind for the next one, and TypeScript is loaded once a worker.
    isolate: false,
    // Most of them wait for each other's ends of a connection.
    maxWorkers: 2,
    testTimeout: 60_000,
    // Tests set what they need; what this shell happens to have is no part of them.
    env: { VIDEOCLOUD_API_KEY: '', VIDEOCLOUD_BASE_URL: '' },
    provide: {
      api: process.env.VIDEOCLOUD_BASE_URL
        ? {
            baseUrl: process.env.VIDEOCLOUD_BASE_URL,
            apiKey: process.env.VIDEOCLOUD_API_KEY ?? '',
            readKey: process.env.VIDEOCLOUD_READ_KEY ?? '',
          }
        : null,
    },
  },
});
export default config;
