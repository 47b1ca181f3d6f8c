/** Time-outs and sleeping, both of which a signal can end. */

import { APITimeoutError } from './errors.js';

/** A time-out: aborts `signal` when nothing arrives in time, or when the caller's signal is aborted. */
export class Patience {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #what: string;
  #milliseconds: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #reason: unknown;

  /** Start the time-out; `what` names the request in the error. */
  constructor(milliseconds: number, outer: AbortSignal | undefined, what: string) {
    this.#milliseconds = milliseconds;
    this.#outer = outer;
    this.#what = what;
    outer?.addEventListener('abort', this.#obey);
    if (outer?.aborted) this.#obey();
    else this.restart();
  }

  readonly #obey = (): void => this.#end(this.#outer?.reason);

  readonly #lose = (): void => {
    this.#end(
      new APITimeoutError(`${this.#what}: no data arrived for ${this.#milliseconds / 1000} s (time-out).`),
    );
  };

  #end(reason: unknown): void {
    this.#reason ??= reason;
    this.#controller.abort(reason);
  }

  /** The signal for `fetch`. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Why `signal` was aborted: the time-out's error, or the caller's reason; undefined if by neither. */
  get reason(): unknown {
    return this.#reason;
  }

  /** Restart the time-out; `milliseconds`, if given, replaces its length. */
  restart(milliseconds: number = this.#milliseconds): void {
    this.#milliseconds = milliseconds;
    this.rest();
    if (milliseconds <= LONGEST_TIMER) this.#timer = setTimeout(this.#lose, milliseconds);
  }

  /** Suspend the time-out until the next `restart`. */
  rest(): void {
    clearTimeout(this.#timer);
  }

  /** Abort the request if it still runs, and remove the timer and the listener. */
  cancel(): void {
    this.rest();
    this.#outer?.removeEventListener('abort', this.#obey);
    this.#controller.abort();
  }
}

/** Longer timers would fire at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** Wait for a number of milliseconds. Throws the signal's reason when it is aborted. */
export async function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener('abort', abort, { once: true });
  });
}
