"""Dashboards, alert rules and their provisioning, as code; `python -m docs.generate` writes the files.

- `dashboards` has the dashboards of worker and API, with queries from `promql`; `business` has the one on SQL
- `grafana` turns dashboards into Grafana's JSON; `alerts` has the alert rules; `files` lists all files
"""
