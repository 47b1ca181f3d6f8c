/** URLs of requests. Pure. */

/** The value of a query parameter; undefined omits the parameter. */
export type QueryValue = string | number | boolean | readonly string[] | undefined;

/**
 * Replace the `{id}` of a path.
 *
 * Throws TypeError for an id that a URL cannot carry: a missing or empty id, `.` and `..`, which mean a folder, and a
 * video with the id `summary`, whose path is that of the summary.
 */
export function filled(path: string, id: string | undefined): string {
  if (!path.includes('{id}')) return path;
  if (typeof id !== 'string' || /^\.{0,2}$/.test(id)) {
    throw new TypeError(`An id such as 'vid_123456' is required, not ${JSON.stringify(id)}`);
  }
  if (id === 'summary' && path.endsWith('/videos/{id}')) {
    throw new TypeError("The API returns no video with the id 'summary': its path is that of the summary");
  }
  return path.replace('{id}', encodeURIComponent(id));
}

/** Return a query string with its `?`, lists joined with commas; an empty string without parameters. */
export function query(values: Readonly<Record<string, QueryValue>>): string {
  const pairs = Object.entries(values).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)] as [string, string]],
  );
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs)}`;
}

/**
 * Check a base URL and return it without slashes at its end.
 *
 * Throws TypeError for anything but `http://…`, `https://…` and, in a browser, a path of the page's own host.
 */
export function base(address: string, inBrowser: boolean): string {
  const relative = inBrowser && /^\/(?!\/)/.test(address);
  const url = URL.canParse(address) ? new URL(address) : undefined;
  const absolute = url !== undefined && /^https?:$/.test(url.protocol) && !url.search && !url.hash;
  if (!relative && !absolute) {
    throw new TypeError(
      `baseUrl must be the API's URL, such as https://analytics.example.com, not ${JSON.stringify(address)}`,
    );
  }
  return address.replace(/\/+$/, '');
}
