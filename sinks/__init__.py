"""The stores that the worker writes and the API reads.

- `base` has the five protocols that the pipeline needs; `tests/contract` tests every implementation
- `clickhouse` stores every event and the roll-ups; `redis` stores the live window and the ledgers
- `kafka` has the settings for TLS and passwords of all Kafka clients
- `memory` implements the protocols in memory: with it, tests of the pipeline take milliseconds
- `single_flight` shares one call among all tasks that wait for its result; `together` asks many questions of
  one kind in one request
"""
