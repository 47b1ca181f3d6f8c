"""The domain: what events, views and metrics mean. Pure: no I/O, and time is an argument.

The contract with producers:

- `events` has the event types, `meanings` describes each field, `examples` has one event of each type
- `contract` and `asyncapi` publish them

From records to rows:

- `arrivals` decodes records, corrects clocks, and rejects records with one of the `faults`, in words of
  `reasons`; `nesting` limits their depth
- `folding` has a folder for each topic: `views` (totals to deltas), `event_ids`, `catalog`; `generations` is
  their bounded memory
- `rows` go to ClickHouse; `aggregate` folds them into live counters

From sums to numbers:

- `measures` are the summed quantities; `definitions` and `metrics` compute the API's numbers from them
- `windows`, `timeline` and `local_time` define periods, points of time and local days
- readings are the sums and counts that a store returns: `video_readings`, `user_readings`,
  `system_readings`, `live`

Shared by worker and API: `errors`, `access` (API keys), and three tools that are not pure, but that both may
import from here: `instruments` (Prometheus), `traces` and `log_output`.
"""
