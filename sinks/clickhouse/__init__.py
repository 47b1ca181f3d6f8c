"""ClickHouse: the worker's inserts, and the API's queries.

Writing:

- `sink` inserts blocks in a columnar format (`native_writer`); `archive` reads raw tables for the worker
- `migrations` create the tables; the `migrator` applies them, statement by statement (`statements`), on one
  server or on a `cluster` with `replicas`; `schema_state` compares them with those of this version

Reading:

- SQL: `queries` and `facts` about videos; `user_queries`, `session_queries` and `cohort_queries` about users;
  `system_queries` about the platform; `live_queries` for live data; `instants` binds times
- `reader`, `user_reader`, `system_reader` and `live_reader` run it; `user_readings` turns rows into readings

Caches, so that answers about users do not read past days again:

- `day_cache` keeps the results for days that are over, `known_cache` the users and sessions of those days
- `known_audience` computes today's difference with `known_users` and `known_sessions`: they look up in
  `hash_index` the rows of `known_queries`, which `native_reader` reads as arrays; those of today are kept in
  `recent_rows`, and only what changed is read

Operations:

- `audit` compares the `rollups` with raw rows; `shadow` rebuilds them, as far as raw events are `kept`;
  `forgetting` removes a person
- `analyst` creates the user for ad hoc SQL; `client` connects
"""
