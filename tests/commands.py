"""Commands of `vca` in the test's own process: one of their own would import for a second."""

from __future__ import annotations

from collections.abc import Mapping

from typer.testing import CliRunner, Result

from deploy.cli import app
from tests.logs import log_as_before


def invoke(variables: Mapping[str, str], *command: str) -> Result:
    """Run a command with environment variables; the log's configuration stays that of the tests."""
    with log_as_before():
        return CliRunner().invoke(app, command, env={"COLUMNS": "250", **variables})
