"""The commands of this folder, for registration with `vca`."""

from __future__ import annotations

import typer

from deploy.operations.doctor_command import doctor
from deploy.operations.forget_command import forget
from deploy.operations.lag_command import lag
from deploy.operations.rebuild_command import rebuild
from deploy.operations.replay_command import replay
from deploy.operations.verify_command import verify

operations = typer.Typer()
operations.command()(lag)
operations.command()(verify)
operations.add_typer(rebuild, name="rebuild")
operations.add_typer(replay, name="replay")
operations.command()(forget)
operations.command()(doctor)
