"""A ClickHouse server for one machine: the chDB engine behind ClickHouse's HTTP interface.

``python -m deploy.embedded.clickhouse --path DIR --port N`` runs it. The data flow of one request is
``call`` (what was asked) -> ``statement`` (what kind of SQL it is) -> ``engine`` (chDB) -> ``front`` (HTTP).
"""
