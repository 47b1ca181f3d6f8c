"""Commands for operators: lag, verify, doctor, replay, rebuild, forget.

- `commands` lists them for the command line
- `lag_command` prints the stores' lag, which `lag` computes from the ledgers and `log_ends`
- `verify_command` compares redundant data: `verifying` reads the stores, `verify` compares the readings
- `doctor_command` checks an installation: `examining` reads the servers and the container's memory limit
  (`cgroup`), and `diagnosis`, `redis_diagnosis` and `retention` derive findings
- `replay_command` sends dead letters again: `letters` chooses them, `replaying` reads and sends them
- `rebuild_command` rebuilds roll-ups (`rebuilding`) and live counters
- `forget_command` removes a person's data
- `running` finds the servers' addresses, `progress` shows progress
"""
