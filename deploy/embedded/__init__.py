"""Stand-in servers for a laptop and for the tests, and the supervisor that runs everything together."""
