"""The read API, on FastAPI. Its modules, in the order in which a question meets them.

Putting together: `app` makes an application of `settings`; `deps` and `desks` are what routes are given.

Letting in: `auth` with `keys` and `limits`, `cors` for pages of other origins, `mounting` under a path of
another server; `telemetry` gives each request an id and a line in the log.

Asking: `routes` are the endpoints, `parameters` what may be asked. A desk decides which store answers:
`desk` for videos, `audience_desk` for users, `operations_desk` for the platform, `live_desk` and
`live_feed` for now, `catalog` for titles. `exports` are made in the background; there, `warm_up` reads ahead.

Answering: `answers`, `user_answers` and `system_answers` make readings into answers, in the shapes of
`schemas`, `schemas_users`, `schemas_system`, `schemas_live` and `schemas_exports`. `errors` have one shape.
`revisit` sends what did not change only once, `head` answers without a body. `openapi` says what the routes
do not.

Of itself: `metrics` for Prometheus, `reporting` of its requests to Kafka. Ending: `ending` and `shutdown`.
"""
