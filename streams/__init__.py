"""The worker: Kafka into both stores, every event once. Modules in the order of use.

Putting together: `app` makes a Faust app of `settings`; `prompt` is Faust without its waits; `topics` names
and makes the topics.

Reading: `transport` hands over batches instead of records, as `fetching` takes them out of Kafka's client;
`topic_ids` tells topics of one name apart, and `broker` is what the pipeline asks of Kafka.

A partition: `lanes` gives each its batches in order, and has one folded while another waits. `pipeline`
keeps the partitions at work here, each with a worker (`partition`). `takeover` decides with `ledger` where it
goes on; `following` sees to it, with `seeking`, that what comes is what comes next of the same log. `batch`
folds with the rules in `streams.domain`; `catalog` knows lengths of videos; `blocks` gathers rows for
ClickHouse, within the `budget` and for as long as `pace` says; `bundles` sends those of several partitions in
one insert. What they hand each other is in `work`.

What goes wrong: `retry` repeats what may pass, `dead_letter` keeps what cannot be taken, `rejections` says
when that is too much, `watchdog` when nothing moves; `exits` are the statuses with which a worker ends.

Seeing it: `metrics` and `gauges` for Prometheus, `health` over HTTP, `logs`, `tracing`.
"""
