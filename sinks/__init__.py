"""The stores: what the worker writes, and what the API reads.

- `base` has the five protocols that the pipeline needs; `tests/contract` tests every implementation
- `clickhouse` keeps every event and the roll-ups; `redis` keeps the live window and the ledgers
- `kafka` has the settings for TLS and passwords of all Kafka clients
- `memory` implements the protocols in memory: with it, tests of the pipeline take milliseconds
- `single_flight` shares one call among all tasks that wait for its result
"""
