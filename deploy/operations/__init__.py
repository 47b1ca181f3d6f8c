"""Commands for whoever runs the platform: lag, verify, doctor, replay, rebuild."""
