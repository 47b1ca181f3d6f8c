/** A TCP proxy between client and server that breaks connections when a test wants it to. */

import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

export interface Line {
  url: string;
  /** Number of connections so far. */
  connections: number;
}

const HEAD_ENDS = '\r\n\r\n';

/**
 * Pass bytes on to a server. Connection `n` is cut after `cuts[n]` bytes of the body of its first answer, at
 * once if `cuts[n]` is -1, and never if `cuts[n]` is missing.
 */
export async function line(target: string, cuts: number[]): Promise<Line> {
  const { hostname, port } = new URL(target);
  const found: Line = { url: '', connections: 0 };
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const cut = cuts[found.connections] ?? Number.POSITIVE_INFINITY;
    let seen = Buffer.alloc(0);
    let passed = 0;
    found.connections += 1;
    const upstream = connect(Number(port), hostname);
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        client.destroy();
        upstream.destroy();
      });
    }
    client.pipe(upstream);
    upstream.on('data', (bytes) => {
      if (cut === Number.POSITIVE_INFINITY) {
        client.write(bytes);
        return;
      }
      seen = Buffer.concat([seen, bytes]);
      const head = seen.indexOf(HEAD_ENDS);
      const most = cut < 0 ? 0 : head < 0 ? seen.length : head + HEAD_ENDS.length + cut;
      const piece = seen.subarray(passed, most);
      passed += piece.length;
      if (seen.length < most) client.write(piece);
      else client.end(piece, () => client.destroy());
    });
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  found.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  onTestFinished(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return found;
}
