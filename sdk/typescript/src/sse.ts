/** A parser of server-sent events: text in, events out, however the text is split. Pure. */

/** One event: its name (`message` by default) and its data. */
export interface ServerEvent {
  event: string;
  data: string;
}

/**
 * Parses a stream of server-sent events as the HTML standard specifies, except `id` and `retry`, which this client
 * ignores. Comments, with which servers keep connections open, are dropped.
 */
export class EventReader {
  #rest = '';
  #begun = false;
  #event = '';
  #data: string[] = [];

  /** Take the next chunk of text and return the events that it completes. */
  read(text: string): ServerEvent[] {
    this.#rest += text;
    if (!this.#begun && this.#rest !== '') {
      this.#begun = true;
      if (this.#rest.startsWith('\uFEFF')) this.#rest = this.#rest.slice(1);
    }
    const found: ServerEvent[] = [];
    // A carriage return at the very end may be the first half of a line's end.
    const lines = this.#rest.split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line !== '') this.#field(line);
      else if (this.#data.length > 0) found.push(this.#take());
      else this.#event = '';
    }
    return found;
  }

  #take(): ServerEvent {
    const event = { event: this.#event || 'message', data: this.#data.join('\n') };
    this.#event = '';
    this.#data = [];
    return event;
  }

  #field(line: string): void {
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'event') this.#event = value;
    else if (name === 'data') this.#data.push(value);
  }
}
