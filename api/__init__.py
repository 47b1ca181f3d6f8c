"""The read API, on FastAPI. Its modules, in the order in which a question meets them.

Putting together: `app` makes an application of `settings`; `deps` and `services` are what routes are given.

Letting in:

- `auth` with `keys` and `limits`; `cors` for pages of other origins
- `root_path` for an API under a path of another server
- `telemetry` gives each request an id and a line in the log

Asking:

- `routes` are the endpoints, `parameters` what may be asked; `encoded_slash` lets ids have a slash
- a service decides which store answers: `video_service`, `user_service`, `system_service`, and for now
  `live_service` with `live_feed`; `catalog` knows titles
- `exports` makes files in the background; there, `warm_up` reads ahead what answers will need

Answering:

- `answers`, `user_answers` and `system_answers` make readings into answers, in the shapes of `schemas`,
  `schemas_users`, `schemas_system`, `schemas_live` and `schemas_exports`; `errors` have one shape
- `etag_gzip` sends what did not change only once, and long answers small; `head` answers without a body
- `openapi` says what the routes do not; `dashboard` is a page that asks all this in the browser

Of itself: `metrics` for Prometheus, `reporting` of its requests to Kafka. Ending: `tasks` and `shutdown`.
"""
