/** Client of the VideoCloud Analytics API. */

export { Analytics } from './analytics.js';
export { VideoCloud, type VideoCloudOptions } from './client.js';
export { Download } from './download.js';
export * from './errors.js';
export type * from './types.js';
