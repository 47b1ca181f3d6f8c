/** Client of the VideoCloud Analytics API. */

export type { Analytics } from './analytics.js';
export { VideoCloud, type VideoCloudOptions } from './client.js';
export type { Download } from './download.js';
export * from './errors.js';
export type * from './types.js';
