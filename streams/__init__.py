"""The worker: reads Kafka and writes both stores, each event exactly once. Modules in the order of use.

Setup:

- `app` makes a Faust app from `settings`; `faust_worker` is Faust without its fixed sleeps and limits, and
  assigns partitions to workers as `balance` says
- `topics` names and creates the topics

Reading:

- `transport` delivers batches instead of single records; `fetching` takes whole fetches from Kafka's client,
  and `unpacking` decompresses them
- `broker` is the pipeline's access to Kafka; `topic_ids` distinguishes a topic from a later one of its name,
  and `rights` asks what the worker's user may do

A partition:

- `lanes` runs the batches of a partition in order, and those of several partitions concurrently
- `pipeline` keeps a worker (`partition`) for each assigned partition; `assignment` has the data given to it
- `takeover` decides with `ledger` at which offset to resume a partition; `log_follower` checks that records
  come in order and from the same log, and seeks (`seeking`) if they do not
- `batch` folds records with the rules in `streams.domain`; `catalog` knows the lengths of videos
- `blocks` gathers rows for ClickHouse, within the memory `budget` and for as long as `pace` allows; `bundles`
  sends blocks of several partitions together. Each of their `inserts` is begun in the ledger before it is
  sent, once `landed` has seen that ClickHouse has what it had

Failures:

- `retry` repeats operations that may succeed later; `dead_letter` keeps records that cannot be processed, and
  `rejections` limits their share
- `watchdog` ends a worker that makes no progress; `exit_codes` are the worker's exit statuses

Observability: `metrics` and `gauges` for Prometheus, `health` over HTTP, `logs`, `tracing`.

`loop_time` is the clock of all timers and durations.
"""
