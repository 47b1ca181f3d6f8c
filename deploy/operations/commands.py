"""The commands of this folder, as `vca` has them."""

from __future__ import annotations

import typer

from deploy.operations.lag_command import lag

operations = typer.Typer()
operations.command()(lag)
