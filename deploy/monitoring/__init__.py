"""Dashboards, alert rules and their provisioning, as code; `python -m docs.generate` writes the files."""
