"""The dashboard: a page that reads this API in the browser. `static` is the page, `files` serves it."""
