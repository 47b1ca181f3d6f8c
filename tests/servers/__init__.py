"""Servers that only tests start.

`clickhouse_cluster` and `redis_cluster` are clusters, `browser` is a real browser; `given` says which servers
tests use, `folders` where these keep their data, `processes` whether killed ones have ended.
"""
