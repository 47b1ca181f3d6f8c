"""The read API, on FastAPI. Its modules, in the order in which a request passes them.

Setup: `app` makes an application from `settings`; `deps` are the dependencies of routes.

Access:

- `http_protocol` limits the length of headers
- `auth` checks API keys (`keys`) and rate limits (`limits`); `cors` serves pages of other origins
- `root_path` serves the API under a path of another server
- `telemetry` gives each request an id and a line in the log

Requests:

- `routes` are the endpoints, `parameters` parses query parameters; `encoded_slash` allows slashes in ids
- a service decides which store answers: `video_service`, `user_service`, `system_service`, and for live data
  `live_service` with `live_feed`; `catalog` caches the video catalog
- `exports` makes files in the background; `warm_up` prefetches results in the background

Responses:

- `video_answers`, `user_answers` and `system_answers` turn readings into `answers`, in the shapes of
  `schemas`, `schemas_users`, `schemas_system`, `schemas_live` and `schemas_exports`; `errors` gives errors
  one shape
- `etag_gzip` handles conditional requests and compression; `head` answers HEAD requests
- `openapi` completes the OpenAPI document; `dashboard` is a page that shows the answers in the browser

The process: `metrics` for Prometheus, `reporting` of requests to Kafka; `tasks` and `shutdown` end it.
"""
