"""The worker without servers, for tests: `bench` runs all of it, `consumer` and `fold` are single parts."""
