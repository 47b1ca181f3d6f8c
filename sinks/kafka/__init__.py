"""Settings that all Kafka clients share: `access` has those for TLS and passwords."""
