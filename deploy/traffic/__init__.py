"""A video platform in miniature: it makes the events that a real one would send, and sends them to Kafka.

It is a producer like any other and knows the event contract only: nothing here imports the pipeline,
the sinks or the API. The modules from `places` to `live` are pure: events are functions of the
configuration, the seed and the time given. `producer` does the network, `display` the terminal.

    places, rhythm          where people live, and when they watch
    titles, catalog         the videos, their popularity, their coming and going
    people                  who comes, and who comes back
    views, sessions         what a person does in the player and around it
    system, jobs            what the platform's own services say meanwhile
    world, timeline         all of these together, merged in order of time
    history, live, pace     the past at full speed, the present at a steady rate
    producer, display, run  Kafka, the terminal, and the loop between them
    command                 `vca traffic`
"""
