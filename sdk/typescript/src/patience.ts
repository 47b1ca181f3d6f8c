/** Waiting, and an end to it. */

import { APITimeoutError } from './errors.js';

/** Aborts `signal` when nothing has come for so long, or when the caller's signal is aborted. */
export class Patience {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #what: string;
  #milliseconds: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #reason: unknown;

  /** Start to wait for `what`. */
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
    this.#end(new APITimeoutError(`${this.#what}: nothing came for ${this.#milliseconds / 1000} s.`));
  };

  #end(reason: unknown): void {
    this.#reason ??= reason;
    this.#controller.abort(reason);
  }

  /** What to give to `fetch`. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Why it ended by itself: lost, or the caller's reason; undefined while it has not. */
  get reason(): unknown {
    return this.#reason;
  }

  /** Wait anew, from now on for `milliseconds` when they are given. */
  restart(milliseconds: number = this.#milliseconds): void {
    this.#milliseconds = milliseconds;
    this.rest();
    if (milliseconds <= LONGEST_TIMER) this.#timer = setTimeout(this.#lose, milliseconds);
  }

  /** Wait for nothing until the next `restart`. */
  rest(): void {
    clearTimeout(this.#timer);
  }

  /** Stop what still runs, and leave no timer and no listener. */
  cancel(): void {
    this.rest();
    this.#outer?.removeEventListener('abort', this.#obey);
    this.#controller.abort();
  }
}

/** Timers that are longer fire at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** Wait so many milliseconds, or until the signal is aborted: then throw its reason. */
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
