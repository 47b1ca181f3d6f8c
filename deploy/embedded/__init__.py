"""Stand-in servers for a laptop and for the tests, and the supervisor that runs everything together.

- `supervisor` runs a `stack` as one tree of processes; `restarts` says when an ended process is restarted;
  `rundir` is the folder of the running stack
- `servers` describes the stand-in servers, `probes` tests whether they are ready, `ports` finds free ports
- `clickhouse` is the stand-in ClickHouse; `kafka` runs Apache Kafka without Docker
- `process` starts a child process; `guard` ends it with its parent
- `screen` writes to the console, with lines of the logs (`logtail`) and warnings (`growth`)
"""
