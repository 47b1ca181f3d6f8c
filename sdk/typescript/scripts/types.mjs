/** Write src/openapi.ts anew: `npm run types`. */
import { writeFile } from 'node:fs/promises';
import { TYPES, types } from './openapi.mjs';

await writeFile(TYPES, await types());
