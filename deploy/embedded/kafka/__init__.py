"""Apache Kafka on this machine without Docker: its jars from Maven, run by the machine's Java.

`python -m deploy.embedded.kafka --libs DIR --data DIR --port N ...` runs one node. `jars` finds or
fetches the jars, `nodes` describes one to many nodes as servers.
"""
