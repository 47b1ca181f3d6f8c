"""What everything means: pure, without I/O and without a clock. Time is an argument.

The contract with producers:

- `events` are its types, `meanings` what each field says, `examples` one of each
- `contract` and `asyncapi` publish them

From records to rows:

- `arrivals` decodes and corrects clocks, as far down as `nesting` allows, or says which of the `faults` a
  record has
- `folding` has a folder for each topic: `views` (totals to deltas), `event_ids`, `catalog`; `generations` is
  what they remember
- `rows` go to ClickHouse; `aggregate` makes live counters of them

From sums to numbers:

- `measures` are counted; `definitions` and `metrics` are what the API answers of them
- `windows`, `timeline` and `local_time` say what a period is
- what stores tell before it is an answer: `video_readings`, `user_readings`, `system_readings`, `live`

For both: `errors`, `access` (API keys), `instruments` (Prometheus), `traces`.
"""
