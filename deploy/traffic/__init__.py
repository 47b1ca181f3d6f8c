"""A simulated video platform: it generates the events that a real one would send, and sends them to Kafka.

It is a producer like any other and knows only the event contract: nothing here imports the pipeline,
the sinks or the API. The modules from `events` to `pace` are pure: events are functions of the
configuration, the seed and the time given.

- `events` has the shape of an event, the topics, and the ids of one run
- `places` and `rhythm` say where people live, and when they watch
- `titles` and `catalog` make the videos, their popularity, their publication and removal
- `people` is the audience: new and returning visitors
- `views` and `sessions` are what a person does in the player and around it
- `system` and `jobs` make the events of the platform's own services
- `world` puts these together, and `timeline` merges them in order of time
- `history` sends the past at full speed, `live` the present at a steady rate (`pace`)
- `producer` sends to Kafka, `display` writes to the terminal, and `run` is the loop between them; `once`
  remembers that the history was sent
- `command` is `vca traffic`
"""
