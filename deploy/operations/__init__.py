"""Commands for operators: lag, verify, doctor, replay, rebuild, forget."""
