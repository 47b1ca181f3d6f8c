"""The dashboard: a page that queries this API from the browser. `static` is the page, `files` serves it."""
