"""The schema of ClickHouse, in numbered files that are applied in order and never changed afterwards."""
