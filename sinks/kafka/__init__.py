"""What all Kafka clients share: `access` has settings for TLS and passwords, `reasons` explains errors."""
