/** A real HTTP server on this machine that answers as a test prescribes, and records the requests. */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { Analytics } from '../../src/analytics.js';
import { Transport, type TransportSettings } from '../../src/transport.js';

export interface Asked {
  method: string;
  url: string;
  headers: IncomingMessage['headers'];
  body: string;
}

export type Reply = (response: ServerResponse, asked: Asked) => void;

export interface Server {
  url: string;
  asked: Asked[];
  /** Number of requests whose connection the client closed before the answer was complete. */
  left: number;
}

/** Answer requests with these replies in order; the last reply serves all further requests. */
export async function serve(...replies: Reply[]): Promise<Server> {
  const found: Server = { url: '', asked: [], left: 0 };
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const asked = { method: request.method ?? '', url: request.url ?? '', headers: request.headers, body };
    const reply = replies[Math.min(found.asked.length, replies.length - 1)];
    found.asked.push(asked);
    response.on('close', () => {
      if (!response.writableFinished) found.left += 1;
    });
    reply?.(response, asked);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  found.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  });
  return found;
}

export const META = {
  asOf: '2024-03-30T14:05:27.312Z',
  partial: true,
  timezone: 'UTC',
  source: 'clickhouse',
} as const;

/** Reply with JSON. */
export function json(status: number, body: unknown, headers: Record<string, string> = {}): Reply {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
  };
}

/** Reply with data, as the API does. */
export function data(found: unknown, status = 200): Reply {
  return json(status, { success: true, data: found, meta: META });
}

/** Reply with an error, as the API does. */
export function error(
  status: number,
  code: string,
  message: string,
  headers: Record<string, string> = {},
): Reply {
  return json(
    status,
    { success: false, error: { code, message, details: { requestId: '5f1c9e0a' } } },
    headers,
  );
}

/** Close the connection without an answer. */
export const drop: Reply = (response) => response.destroy();

/** Never answer. */
export const silence: Reply = () => {};

/** Return a client of a server that records its waits instead of waiting. */
export function asking(
  url: string,
  settings: Partial<TransportSettings> = {},
): { analytics: Analytics; waits: number[] } {
  const waits: number[] = [];
  const transport = new Transport({
    baseUrl: url,
    apiKey: 'vca_test',
    timeout: 5_000,
    maxRetries: 2,
    headers: {},
    fetch: (...call) => fetch(...call),
    sleep: async (milliseconds, signal) => {
      waits.push(milliseconds);
      signal?.throwIfAborted();
      await new Promise((soon) => setTimeout(soon, 1));
    },
    random: () => 0,
    ...settings,
  });
  return { analytics: new Analytics(transport), waits };
}

/** Return the reason with which a promise is rejected. */
export async function thrown(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    (found) => {
      throw new Error(`This should have failed: ${JSON.stringify(found)}`);
    },
    (found: unknown) => found,
  );
}
