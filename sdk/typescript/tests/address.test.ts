import { expect, test } from 'vitest';
import { base, filled, query } from '../src/address.js';

test('an id becomes one segment of the path, whatever it has in it', () => {
  expect(filled('/analytics/videos/{id}/live', 'a/b?c#d%$& é')).toBe(
    '/analytics/videos/a%2Fb%3Fc%23d%25%24%26%20%C3%A9/live',
  );
});

test.each(['', '.', '..', undefined])('no address can carry the id %j', (id) => {
  expect(() => filled('/analytics/videos/{id}', id)).toThrow(TypeError);
});

test('lists are written with commas, and what is undefined is left out', () => {
  expect(query({ metrics: ['views', 'engagement'], timezone: 'Asia/Kolkata', end: undefined })).toBe(
    '?metrics=views%2Cengagement&timezone=Asia%2FKolkata',
  );
  expect(query({ period: undefined })).toBe('');
});

test('a base may have a path, and loses the slash at its end', () => {
  expect(base('https://example.com/videocloud/', false)).toBe('https://example.com/videocloud');
});

test('a path alone is a base in a browser only', () => {
  expect(base('/videocloud', true)).toBe('/videocloud');
  expect(() => base('/videocloud', false)).toThrow('baseUrl must be');
  expect(() => base('//elsewhere.example.com', true)).toThrow(TypeError);
});

test.each(['', 'analytics.example.com', 'ftp://example.com', 'https://example.com?key=1', 'localhost:8000'])(
  '%j is no base',
  (address) => {
    expect(() => base(address, false)).toThrow(TypeError);
  },
);
