"""The worker: Kafka into both stores, every event once. Modules in the order of use.

Putting together:

- `app` makes a Faust app of `settings`; `faust_worker` is Faust without its waits
- `topics` names and makes the topics

Reading:

- `transport` hands over batches instead of records, as `fetching` takes them out of Kafka's client
  and `unpacking` out of compressed batches
- `broker` is what the pipeline asks of Kafka; `topic_ids` tells topics of one name apart, `rights` what the
  worker may do

A partition:

- `lanes` gives each its batches in order, and has one folded while another waits
- `pipeline` keeps the partitions at work here, each with a worker (`partition`); what they hand each other
  is in `assignment`
- `takeover` decides with `ledger` where a partition goes on; `log_follower` sees to it, with `seeking`, that
  what comes is what comes next of the same log
- `batch` folds with the rules in `streams.domain`; `catalog` knows lengths of videos
- `blocks` gathers rows for ClickHouse, within the `budget` and for as long as `pace` says; `bundles` sends
  those of several partitions in one insert

What goes wrong:

- `retry` repeats what may pass; `dead_letter` keeps what cannot be taken, `rejections` says when that is too
  much
- `watchdog` ends a worker in which nothing moves; `exit_codes` are the statuses with which it ends

Seeing it: `metrics` and `gauges` for Prometheus, `health` over HTTP, `logs`, `tracing`.
"""
