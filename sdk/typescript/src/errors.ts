/**
 * All errors of this package:
 *
 *     VideoCloudError
 *     ├── APIError                       a request to the API failed
 *     │   ├── APIConnectionError         no response: refused, dropped, no such host
 *     │   │   └── APITimeoutError        no response in time
 *     │   ├── APIResponseError           a response that does not match the API's contract
 *     │   └── APIStatusError             an error response
 *     │       ├── BadRequestError        400, 416  an invalid parameter, or range of a file
 *     │       ├── AuthenticationError    401  no key, or a wrong one
 *     │       ├── PermissionDeniedError  403  the key lacks the scope, or the link is invalid
 *     │       ├── NotFoundError          404  no such video, no such export
 *     │       ├── ConflictError          409  the export's file is not ready yet
 *     │       ├── GoneError              410  the export has expired
 *     │       ├── RateLimitError         429  the key made too many requests
 *     │       └── ServerError            5xx  a server error
 *     │           └── UnavailableError   503  the data cannot be read at the moment
 *     └── ExportError                    an export produced no file
 *         ├── ExportFailedError          the export failed on the server
 *         └── ExportTimeoutError         the export was not ready within the time-out
 *
 * A request that its caller aborts is rejected with the signal's own reason, as with `fetch`. Invalid arguments
 * throw a `TypeError`.
 */

import type { Export } from './types.js';

/** Base class of all errors of this package. */
export class VideoCloudError extends Error {
  override readonly name: string = 'VideoCloudError';
}

/** A request to the API failed. */
export class APIError extends VideoCloudError {
  override readonly name: string = 'APIError';
}

/** No response arrived: the connection was refused or dropped. `cause` is the runtime's error. */
export class APIConnectionError extends APIError {
  override readonly name: string = 'APIConnectionError';
}

/** No response arrived in time. */
export class APITimeoutError extends APIConnectionError {
  override readonly name: string = 'APITimeoutError';
}

/** The response does not come from this API: most often because of a proxy or a wrong `baseUrl`. */
export class APIResponseError extends APIError {
  override readonly name: string = 'APIResponseError';
  /** The HTTP status of the response. */
  readonly status: number;

  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

/** The content of an error response. */
export interface Refusal {
  status: number;
  /** Such as `ANALYTICS_INVALID_PERIOD`; undefined if something in front of the API answered. */
  code: string | undefined;
  /** Details from the API, such as `parameter` and `allowed` if one parameter is invalid. */
  details: Readonly<Record<string, unknown>>;
  /** The request's id in the server's log. */
  requestId: string | undefined;
  /** Milliseconds that the server asks the client to wait before it retries. */
  retryAfter: number | undefined;
}

/** The API responded with an error. */
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

/** The export's file is not ready yet. */
export class ConflictError extends APIStatusError {
  override readonly name: string = 'ConflictError';
}

/** The export has expired. */
export class GoneError extends APIStatusError {
  override readonly name: string = 'GoneError';
}

/** The API key made too many requests; `retryAfter` says how long to wait. */
export class RateLimitError extends APIStatusError {
  override readonly name: string = 'RateLimitError';
}

/** A server error: report the `requestId` to the API's operator. */
export class ServerError extends APIStatusError {
  override readonly name: string = 'ServerError';
}

/** The data cannot be read at the moment. */
export class UnavailableError extends ServerError {
  override readonly name: string = 'UnavailableError';
}

/** An export produced no file. */
export class ExportError extends VideoCloudError {
  override readonly name: string = 'ExportError';
  /** The last known status of the export. */
  readonly export: Export;

  constructor(message: string, found: Export) {
    super(message);
    this.export = found;
  }
}

/** The export failed on the server; `export.error` has the reason. */
export class ExportFailedError extends ExportError {
  override readonly name: string = 'ExportFailedError';

  constructor(failed: Export) {
    super(
      `Export ${failed.exportId} failed: ${failed.error?.message ?? 'the server gives no reason'}`,
      failed,
    );
  }
}

/** The file was not ready in time. The server continues to write it: wait again. */
export class ExportTimeoutError extends ExportError {
  override readonly name: string = 'ExportTimeoutError';

  constructor(unfinished: Export, milliseconds: number) {
    super(
      `Export ${unfinished.exportId} is still ${unfinished.status} after ${milliseconds / 1000} s. ` +
        'The server continues: wait again, or set a longer waitTimeout.',
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
  416: BadRequestError,
  429: RateLimitError,
  503: UnavailableError,
};

/** Return the error of the class that belongs to an HTTP status. */
export function statusError(message: string, refusal: Refusal): APIStatusError {
  const Kind = BY_STATUS[refusal.status] ?? (refusal.status >= 500 ? ServerError : APIStatusError);
  return new Kind(message, refusal);
}
