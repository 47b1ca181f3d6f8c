"""The correct answers, computed in plain Python from the delivered records and the written definitions alone.

Nothing here may import `streams`, `sinks` or `api`: an oracle that shares code with the product shares the
product's mistakes. The code is written to be read, not to be fast.

`log` decides which records count; `views` and `videos`, `users` and `system` compute answers from them;
`windows` has periods and time zones.
"""
