import { expect, test } from 'vitest';
import { base, filled, query } from '../src/address.js';

test('an id becomes one segment of the path, whatever characters it contains', () => {
  expect(filled('/analytics/videos/{id}/live', 'a/b?c#d%$& é')).toBe(
    '/analytics/videos/a%2Fb%3Fc%23d%25%24%26%20%C3%A9/live',
  );
});

test.each(['', '.', '..', undefined])('the id %j is refused, as no path can contain it', (id) => {
  expect(() => filled('/analytics/videos/{id}', id)).toThrow(TypeError);
});

test('a video is not mistaken for the summary, whose path has no id', () => {
  expect(() => filled('/analytics/videos/{id}', 'summary')).toThrow(/no video with the id 'summary'/);
  expect(filled('/analytics/videos/{id}/live', 'summary')).toBe('/analytics/videos/summary/live');
});

test('lists are joined with commas, and undefined parameters are left out', () => {
  expect(query({ metrics: ['views', 'engagement'], timezone: 'Asia/Kolkata', end: undefined })).toBe(
    '?metrics=views%2Cengagement&timezone=Asia%2FKolkata',
  );
  expect(query({ period: undefined })).toBe('');
});

test('a base URL may have a path, and loses its trailing slash', () => {
  expect(base('https://example.com/videocloud/', false)).toBe('https://example.com/videocloud');
});

test('a path without a host is a base URL in a browser only', () => {
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
