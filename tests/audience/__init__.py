"""Random events of people, services and hosts for the tests, and code that inserts them into ClickHouse.

`world` makes the events, `landing` inserts them, `comparison` compares answers with the oracle's; `tables`
makes tables in ClickHouse's Native format.
"""
