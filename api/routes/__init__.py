"""The endpoints: `videos`, `users`, `system`, `live`, `exports`, and `health` for probes and metrics."""
