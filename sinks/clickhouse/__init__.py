"""ClickHouse: what the worker writes into it, and what the API reads from it.

Writing:

- `sink` inserts blocks, as columns (`native_writer`); `archive` tells the worker what raw tables remember
- `migrations` make the tables; the `migrator` applies them, statement by statement (`statements`), on one
  server or on a `cluster` with `replicas`; `schema_state` tells whether they are those of this version

Reading:

- SQL: `queries` and `facts` about videos; `user_queries`, `session_queries` and `cohort_queries` about users;
  `system_queries` about the platform; `live_queries` about now; `instants` are how time comes into it
- `reader`, `user_reader`, `system_reader` and `live_reader` ask it; `user_readings` makes readings of rows

Answers about users without reading all days again:

- `day_cache` keeps what the days that are over told, `known_cache` who and what was known then
- `known_audience` tells today's difference by the arithmetic of `known_users` and `known_sessions`: they look
  up in `hash_index` what `known_queries` ask for, in tables that `native_reader` reads

Looking after it:

- `audit` recounts; `shadow` builds roll-ups anew; `forgetting` removes a person
- `analyst` lets others ask SQL of their own; `client` connects
"""
