"""A deterministic simulation of the exactly-once protocol, whose every decision comes from one seed.

Several workers run the real pipeline (`streams`, all but Faust's consumer) on the stores of `sinks.memory`,
which the contract suite holds to what Redis and ClickHouse do. The clock is simulated, so an episode of a
minute takes a fifth of a second, and a seed that fails fails again in the same way.

    python -m tests.simulation --seed 0 --count 1000             # runs a thousand schedules
    python -m tests.simulation --seed 7 --shrink                 # a trace with as few faults as still fail
    python -m tests.simulation --faults trouble,kill_worker ...  # only these faults
    python -m tests.simulation --mutants --count 100             # how soon deliberate mistakes are found

In the order of reading:

- `episode` disturbs a world, lets it calm down, and asks the judge; `world` is what there is
- `loop` is the event loop: time jumps to the next timer, what is ready runs in random order, and machines die
  or stand still with all their tasks
- `worker` is a process; `network` brings its requests to the stores late, twice, never, or without an answer
- `kafka` has the logs, the topics and the consumer group; `traffic` sends records to it
- `faults` are all that happens, and what is avoided because docs/delivery.md does not promise it
- `judge` compares the stores with the oracle of `tests/oracle`
- `storm` asks for more than exactness: that no partition stands still while workers come and go
- `mutants` are mistakes in the protocol that the simulation must find
"""
