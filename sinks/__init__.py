"""The stores.

- `base` is what the pipeline asks of them, in five protocols that `tests/contract` holds all to
- `clickhouse` keeps every event and the roll-ups; `redis` the last hour and the ledgers
- `kafka` says how clients are let in
- `memory` is a store for tests of the pipeline: they run it in milliseconds, with faults at every step
- `single_flight` does once what several wait for
"""
