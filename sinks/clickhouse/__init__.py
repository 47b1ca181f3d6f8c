"""ClickHouse: what the worker writes into it, and what the API reads from it.

Writing: `sink` inserts blocks, as columns (`native`); `archive` tells the worker what raw tables remember.
The tables are those of `migrations`, which the `migrator` applies, statement by statement (`statements`), on
one server or on a `cluster` with `replicas`; `standing` tells whether they are those of this version.

Reading: `queries` and `facts` are the SQL about videos, `user_queries`, `session_queries` and
`cohort_queries` that about users, `system_queries` that about the platform, `live_queries` that about now;
`instants` are how time comes into it. `reader`, `user_reader`, `system_reader` and `live_reader` ask them;
`user_readings` makes of the rows what they tell.

Answers about users keep what the days that are over told (`kept`), and who was known then: `known_audience`
tells today's difference by the arithmetic of `known_users` and `known_sessions` (with `hashes`) on tables
(`packed`) that `known_queries` ask for, as far as `kept_known` has room.

Looking after it: `audit` recounts, `shadow` builds roll-ups anew, `forgetting` removes a person, `analyst`
lets others ask SQL of their own. `client` connects.
"""
