"""A ClickHouse server for one machine: the chDB engine behind ClickHouse's HTTP interface.

`python -m deploy.embedded.clickhouse --path DIR --port N` runs it. The data flow of one request is
`call` (reads the request) -> `statement` (the kind of its SQL) -> `engine` (chDB) -> `front` (HTTP).
`formats` says how each output format can be sent, `pump` passes chDB's output on to the socket, and
`errors` gives errors the form of ClickHouse's.
"""
