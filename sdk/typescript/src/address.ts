/** Addresses of requests. Pure. */

/** What a query parameter may be; undefined leaves it out. */
export type QueryValue = string | number | boolean | readonly string[] | undefined;

/**
 * Fill the `{id}` of a path.
 *
 * Throws TypeError for an id that no address can carry: none at all, and dots, which mean a folder.
 */
export function filled(path: string, id: string | undefined): string {
  if (!path.includes('{id}')) return path;
  if (typeof id !== 'string' || /^\.{0,2}$/.test(id)) {
    throw new TypeError(`An id is needed, as 'vid_123456'; this is none: ${JSON.stringify(id)}`);
  }
  return path.replace('{id}', encodeURIComponent(id));
}

/** Write a query, with its `?` and its lists with commas; an empty text when there is nothing in it. */
export function query(values: Readonly<Record<string, QueryValue>>): string {
  const pairs = Object.entries(values).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)] as [string, string]],
  );
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs)}`;
}

/**
 * Check a base address and return it without a slash at its end.
 *
 * Throws TypeError for anything but `http://…`, `https://…` and, in a browser, a path of the page's own host.
 */
export function base(address: string, inBrowser: boolean): string {
  const relative = inBrowser && /^\/(?!\/)/.test(address);
  const url = URL.canParse(address) ? new URL(address) : undefined;
  const absolute = url !== undefined && /^https?:$/.test(url.protocol) && !url.search && !url.hash;
  if (!relative && !absolute) {
    throw new TypeError(
      `baseUrl must be the address of the API, as https://analytics.example.com, not ${JSON.stringify(address)}`,
    );
  }
  return address.replace(/\/+$/, '');
}
