"""A simulated video platform: it generates the events that a real one would send, and sends them to Kafka.

It is a producer like any other and knows only the event contract: nothing here imports the pipeline,
the sinks or the API. The modules from `events` to `pace` are pure: events are functions of the
configuration, the seed and the time given. `producer` does the network I/O, `display` writes to the terminal.

    events                  the shape of an event, the topics, the ids of one run
    places, rhythm          where people live, and when they watch
    titles, catalog         the videos, their popularity, their publication and removal
    people                  the audience: new and returning visitors
    views, sessions         what a person does in the player and around it
    system, jobs            events of the platform's own services
    world, timeline         all of these together, merged in order of time
    history, live, pace     the past at full speed, the present at a steady rate
    producer, display, run  Kafka, the terminal, and the loop between them
    command                 `vca traffic`
"""
