"""`vca replay dead-letters`: sends rejected records again."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from deploy.operations.progress import bar, console
from deploy.operations.running import settings
from deploy.terminal import printable
from sinks.kafka.reasons import quieten
from streams.domain.faults import FAULTS, NAMED

if TYPE_CHECKING:
    from deploy.operations.letters import Plan, Wanted
    from streams.settings import Settings

_FORMATS: Final = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]
_REASON_SHOWN: Final = 70

replay = typer.Typer(no_args_is_help=True, help="Send rejected records again.")


@replay.callback()
def _only() -> None:
    """Keep the subcommand's name, although there is only one."""


@replay.command("dead-letters")
def dead_letters(
    topic: Annotated[
        list[str] | None, typer.Option(help="Only from this source topic; may be repeated.")
    ] = None,
    error: Annotated[
        list[str] | None,
        typer.Option(help=f"Only of this error class: {NAMED}; may be repeated."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Only with this text in the reason.")] = "",
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=_FORMATS, metavar="TIME", help="Only records from this time on: 2026-11-20T14:30, UTC."
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(formats=_FORMATS, metavar="TIME", help="Only records before this time, UTC."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also letters that were replayed before and rejected again.")
    ] = False,
    send: Annotated[
        bool, typer.Option("--send", help="Send them. Without it, only show what would be sent.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Send dead letters to their source topics again, after their cause was fixed.

    Without --send the command only shows the letters. Each letter is sent
    once: a record in the dead-letter topic lists the letters that were sent,
    so you may interrupt the command and run it again. A record that is valid
    now counts as if it had been from the start; one that was counted before is
    dropped as a duplicate. A record that is rejected again becomes a new dead
    letter, which is skipped unless you pass --again.

    KAFKA_BOOTSTRAP_SERVERS sets the broker; without it, the broker of the
    `vca up` in this folder is used.
    """
    for name in error or ():
        if name not in FAULTS:
            raise typer.BadParameter(f"{name!r} is not one of {NAMED}", param_hint="--error")
    quieten()
    from deploy.operations.letters import Wanted

    wanted = Wanted(topic or (), error or (), reason, _aware(since), _aware(until), again)
    plan, sent = asyncio.run(run(settings(), wanted, send))
    if as_json:
        answer = {
            "matching": len(plan.send),
            "sent": sent,
            "leftOut": dict(plan.left_out),
            "groups": [
                {
                    "topic": topic or None,
                    "error": error or None,
                    "reason": reason if topic else None,
                    "count": count,
                    "first": first.isoformat(),
                    "last": last.isoformat(),
                }
                for topic, error, reason, count, first, last in plan.table()
            ],
        }
        Console().print_json(json.dumps(answer))
    else:
        _show(Console(), plan, sent, send)


def _aware(instant: datetime | None) -> datetime | None:
    return instant.replace(tzinfo=UTC) if instant is not None and instant.tzinfo is None else instant


async def run(chosen: Settings, wanted: Wanted, send: bool) -> tuple[Plan, int]:
    """Read the dead letters, decide, and send if requested; return the decision and the number sent."""
    from deploy.operations.letters import plan as decide
    from deploy.operations.replaying import DeadLetterTopic
    from streams.topics import source_topics

    dead = DeadLetterTopic(chosen.brokers(), chosen.topic_deadletter)
    with bar() as steps:
        steps.say("reading dead letters")
        letters, replayed, ends = await dead.read(steps.done)
        plan = decide(letters, replayed, wanted, source_topics(chosen))
        if not send or not plan.send:
            return plan, 0
        steps.say("sending them again")
        steps.total(len(plan.send))
        sent, refused = await dead.send_again(plan.send, ends, steps.done)
        plan.left_out.update(refused)
        return plan, sent


def _show(out: Console, plan: Plan, sent: int, send: bool) -> None:
    if plan.send:
        table = Table("topic", "error", "reason", "letters", "first", "last", box=None)
        # In a narrow terminal times and reasons take more lines; nothing is cut off.
        table.columns[0].no_wrap = True
        table.columns[2].overflow = "fold"
        table.columns[3].justify = "right"
        for topic, error, reason, count, first, last in plan.table():
            topic = topic or "all others"
            times = (f"{each:%Y-%m-%d %H:%M:%S}" for each in (first, last))
            table.add_row(
                printable(topic), printable(error), printable(reason[:_REASON_SHOWN]), f"{count:,}", *times
            )
        out.print(table, highlight=False)
    for why, count in plan.left_out.items():
        out.print(f"[dim]skipped: {count:,} {printable(why)}[/]", highlight=False)
    if send:
        out.print(
            f"sent {sent:,} records again: wait until `vca lag` is 0, then run this again to see which were"
            " rejected again",
            highlight=False,
        )
    elif plan.send:
        console.print(f"{len(plan.send):,} would be sent; --send sends them", highlight=False)
    else:
        out.print("there is nothing to send", highlight=False)
