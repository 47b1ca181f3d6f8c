"""The truth, told slowly: plain Python over the records as delivered, after the written definitions alone.

Nothing here may import `streams`, `sinks` or `api`: an oracle that shares code with what it judges shares
its mistakes. It is written to be read, not to be fast.
"""
