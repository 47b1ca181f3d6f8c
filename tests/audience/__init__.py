"""Random events of people, services and hosts for the tests, and code that inserts them into ClickHouse."""
