"""People, services and hosts for the tests: random worlds of events, and their way into ClickHouse."""
