"""Running VideoCloud Analytics: the command line, stand-in servers, operators' commands and packaging.

- `cli` is the command line; `explain` turns errors into one line, `terminal` makes foreign text printable
- `serving` runs the API's processes
- `embedded` has stand-in servers and their supervisor; `traffic` simulates a video platform
- `operations` has the commands for operators; `keys` manages API keys; `check` is containers' health check
- `direct` asks servers of this host without a proxy; `endpoints` is the file with addresses of a `vca up`
- `host_agent` reports the host's resource usage; `monitoring` generates dashboards and alert rules
- `env` writes .env for docker-compose.yml; `locked` prints parts of requirements.lock for the image
"""
