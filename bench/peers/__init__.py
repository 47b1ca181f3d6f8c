"""Alternatives to the pipeline: small programs in other frameworks, run in an environment of their own."""
