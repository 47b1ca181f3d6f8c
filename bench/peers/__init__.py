"""Alternatives to the pipeline: small programs in other frameworks, run in an environment of their own.

`quix` and `bytewax_flow` are the programs, each named after its framework; `work` is the pipeline's work as
both do it, `meter` prints their progress.
"""
