/**
 * Everything that can go wrong:
 *
 *     VideoCloudError
 *     ├── APIError                       asking the API failed
 *     │   ├── APIConnectionError         no answer: refused, dropped, no such host
 *     │   │   └── APITimeoutError        no answer in time
 *     │   ├── APIResponseError           an answer that is not one of this API
 *     │   └── APIStatusError             an answer that says no
 *     │       ├── BadRequestError        400  a parameter is not what it should be
 *     │       ├── AuthenticationError    401  no key, or a wrong one
 *     │       ├── PermissionDeniedError  403  the key does not open this
 *     │       ├── NotFoundError          404  no such video, no such export
 *     │       ├── ConflictError          409  the file of an export is not there yet
 *     │       ├── GoneError              410  the export has expired
 *     │       ├── RateLimitError         429  the key asked too often
 *     │       └── ServerError            5xx  a fault there
 *     │           └── UnavailableError   503  the data cannot be read at the moment
 *     └── ExportError                    an export did not become a file
 *         ├── ExportFailedError          it failed there
 *         └── ExportTimeoutError         it was not ready in time
 *
 * A request that its caller aborts is rejected with the signal's own reason, as with `fetch`. Arguments that
 * no request can be made of are a `TypeError`.
 */

import type { Export } from './types.js';

/** Whatever this package raises of its own. */
export class VideoCloudError extends Error {
  override readonly name: string = 'VideoCloudError';
}

/** A request that did not get a good answer. */
export class APIError extends VideoCloudError {
  override readonly name: string = 'APIError';
}

/** There was no answer: the connection was refused or dropped; `cause` has the runtime's error. */
export class APIConnectionError extends APIError {
  override readonly name: string = 'APIConnectionError';
}

/** There was no answer in time. */
export class APITimeoutError extends APIConnectionError {
  override readonly name: string = 'APITimeoutError';
}

/** Something answered that is not this API, most often a proxy or a wrong `baseUrl`. */
export class APIResponseError extends APIError {
  override readonly name: string = 'APIResponseError';
  /** The HTTP status of the answer. */
  readonly status: number;

  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

/** What an answer that says no carries. */
export interface Refusal {
  status: number;
  /** As `ANALYTICS_INVALID_PERIOD`; undefined when something before the API answered. */
  code: string | undefined;
  /** Of the API: `parameter` and `allowed` where one parameter is at fault. */
  details: Readonly<Record<string, unknown>>;
  /** The id under which the request is in the server's log. */
  requestId: string | undefined;
  /** Milliseconds that the server asks to wait before the next try. */
  retryAfter: number | undefined;
}

/** The API said no. */
export class APIStatusError extends APIError implements Refusal {
  override readonly name: string = 'APIStatusError';
  readonly status: number;
  readonly code: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;
  readonly requestId: string | undefined;
  readonly retryAfter: number | undefined;

  constructor(message: string, refusal: Refusal) {
    const what = refusal.code ? `${refusal.status} ${refusal.code}` : `${refusal.status}`;
    const where = refusal.requestId ? ` (request ${refusal.requestId})` : '';
    super(`${what}: ${message}${where}`);
    this.status = refusal.status;
    this.code = refusal.code;
    this.details = refusal.details;
    this.requestId = refusal.requestId;
    this.retryAfter = refusal.retryAfter;
  }
}

/** A parameter is invalid. */
export class BadRequestError extends APIStatusError {
  override readonly name: string = 'BadRequestError';
}

/** The API key is missing or wrong. */
export class AuthenticationError extends APIStatusError {
  override readonly name: string = 'AuthenticationError';
}

/** The API key lacks the scope that this endpoint requires. */
export class PermissionDeniedError extends APIStatusError {
  override readonly name: string = 'PermissionDeniedError';
}

/** There is no such video or export. */
export class NotFoundError extends APIStatusError {
  override readonly name: string = 'NotFoundError';
}

/** It cannot be done yet. */
export class ConflictError extends APIStatusError {
  override readonly name: string = 'ConflictError';
}

/** The export has expired. */
export class GoneError extends APIStatusError {
  override readonly name: string = 'GoneError';
}

/** The API key asked too often; `retryAfter` says when it may again. */
export class RateLimitError extends APIStatusError {
  override readonly name: string = 'RateLimitError';
}

/** The server has a fault: tell its operator the `requestId`. */
export class ServerError extends APIStatusError {
  override readonly name: string = 'ServerError';
}

/** The data cannot be read at the moment. */
export class UnavailableError extends ServerError {
  override readonly name: string = 'UnavailableError';
}

/** An export did not become a file. */
export class ExportError extends VideoCloudError {
  override readonly name: string = 'ExportError';
  /** The export as it stood last. */
  readonly export: Export;

  constructor(message: string, found: Export) {
    super(message);
    this.export = found;
  }
}

/** The server could not make the file; `export.error` has its reason. */
export class ExportFailedError extends ExportError {
  override readonly name: string = 'ExportFailedError';

  constructor(failed: Export) {
    super(
      `Export ${failed.exportId} failed: ${failed.error?.message ?? 'the server gives no reason'}`,
      failed,
    );
  }
}

/** The file was not ready in time. The server goes on making it: wait for it again. */
export class ExportTimeoutError extends ExportError {
  override readonly name: string = 'ExportTimeoutError';

  constructor(unfinished: Export, milliseconds: number) {
    super(
      `Export ${unfinished.exportId} is still ${unfinished.status} after ${milliseconds / 1000} s. ` +
        'The server goes on: wait for it again, or give it a longer waitTimeout.',
      unfinished,
    );
  }
}

const BY_STATUS: Readonly<Record<number, typeof APIStatusError>> = {
  400: BadRequestError,
  401: AuthenticationError,
  403: PermissionDeniedError,
  404: NotFoundError,
  409: ConflictError,
  410: GoneError,
  429: RateLimitError,
  503: UnavailableError,
};

/** Make the error of the class that belongs to a status. */
export function statusError(message: string, refusal: Refusal): APIStatusError {
  const Kind = BY_STATUS[refusal.status] ?? (refusal.status >= 500 ? ServerError : APIStatusError);
  return new Kind(message, refusal);
}
