import { expect, test } from 'vitest';
import { EventReader, type ServerEvent } from '../src/sse.js';

const STREAM = [
  '\uFEFF: ping\n\n',
  'event: live\ndata: {"a":1}\n\n',
  'event: error\r\ndata: first\r\ndata: second\r\nid: 7\r\nretry: 10\r\n\r\n',
  'data\rdata:  two blanks\r\r',
  'event: forgotten\n\n',
  'data:no name, no blank\n\n',
  'event: unfinished\ndata: never told\n',
].join('');

const EVENTS: ServerEvent[] = [
  { event: 'live', data: '{"a":1}' },
  { event: 'error', data: 'first\nsecond' },
  { event: 'message', data: '\n two blanks' },
  { event: 'message', data: 'no name, no blank' },
];

test('a stream in one piece', () => {
  expect(new EventReader().read(STREAM)).toEqual(EVENTS);
});

test('a stream cut in two, wherever it is cut', () => {
  for (let cut = 0; cut <= STREAM.length; cut += 1) {
    const reader = new EventReader();
    expect([...reader.read(STREAM.slice(0, cut)), ...reader.read(STREAM.slice(cut))]).toEqual(EVENTS);
  }
});

test('a stream that arrives character by character', () => {
  const reader = new EventReader();
  expect([...STREAM].flatMap((letter) => reader.read(letter))).toEqual(EVENTS);
});
