"""What a user would pick instead: small programs in other frameworks, run in an environment of their own."""
