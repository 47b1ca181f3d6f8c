"""What the hand-written documents name is there: files, headings, targets, commands, settings, events."""

from __future__ import annotations

import json
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiokafka
import pytest
import typer
from msgspec import Struct

from api import errors
from api.settings import Settings as ApiSettings
from deploy import env
from deploy.cli import app
from deploy.monitoring.files import DASHBOARDS
from streams.domain.arrivals import Decoder, Rejected
from streams.domain.events import PlaybackEvent, UserEvent
from streams.domain.instruments import INSTRUMENTS
from streams.settings import Settings
from tests.servers.given import PREFIX, SERVERS
from tests.world.feed import Taken

ROOT = Path(__file__).parents[2]
PAGES = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("sdk/*/README.md")})
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
TEXTS = {name: (ROOT / name).read_text("utf-8") for name in NAMES}

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+)`")
#: Set by the shell, by `vca up`, or for one run: no settings of a process.
OTHER_VARIABLES = {
    "API_URL",
    "ARGS",
    "BENCH_DIR",
    "BROKER",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "JOBS",
    "PYTHON",
    "UPDATE_GOLDEN",
    "VCA_DEBUG",
    "VENV",
    "VIDEOCLOUD_API_KEY",
    "VIDEOCLOUD_BASE_URL",
}
#: Read by docker-compose.yml, from the .env of `make env`.
COMPOSE_VARIABLES = env.MADE.keys() | env.CHOICES.keys()
#: Values of KAFKA_SECURITY_PROTOCOL, and a variable of Strimzi's own operator.
OTHER_WORDS = {"SASL_PLAINTEXT", "SASL_SSL", "STRIMZI_POD_SECURITY_PROVIDER_CLASS"}
#: Of OpenTelemetry itself.
OTHER_VARIABLES |= {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME", "OTEL_SDK_DISABLED"}
#: What looks like a variable, and is the code of an error.
CODES = {code for _, code in errors.TABLE.values()} | set(errors.FRAMEWORK.values())


def _commands(text: str) -> Iterator[str]:
    """Yield the lines of shell blocks without their comments, and what stands between backticks."""
    for language, block in _FENCE.findall(text):
        if language == "sh":
            yield from (line.partition(" #")[0] for line in block.splitlines())
    yield from _SPAN.findall(_FENCE.sub("", text))


def _anchor(heading: str) -> str:
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.strip().replace(" ", "-")


def _blocks(name: str, language: str) -> list[str]:
    return [block for found, block in _FENCE.findall(TEXTS[name]) if found == language]


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    dead = []
    for link in _LINK.findall(_FENCE.sub("", TEXTS[name])):
        path, _, anchor = link.partition("#")
        if "://" in path:
            continue
        target = (ROOT / name).parent / path if path else ROOT / name
        if not target.exists():
            dead.append(link)
        elif anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
            if anchor not in map(_anchor, headings):
                dead.append(link)
    assert dead == []


@pytest.mark.parametrize("name", NAMES)
def test_make_targets_exist(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test", "up"} <= targets
    named = {
        target for line in _commands(TEXTS[name]) for target in re.findall(r"(?:^|\s)make ([a-z-]+)", line)
    }
    assert named <= targets


@pytest.mark.parametrize("name", NAMES)
def test_what_is_installed_is_in_the_repository(name: str) -> None:
    """Nothing of it is in a registry, where its names may be somebody else's."""
    for line in _commands(TEXTS[name]):
        for what in re.findall(r"(?:pip|npm) install (?:-\S+ )*'?([^\s']+)", line):
            path, _, extra = what.partition("[")
            package = ROOT / path.removeprefix("/path/to/")
            assert what.startswith((".", "/path/to/")) and package.parent.is_dir(), line
            if extra:
                assert f"\n{extra[:-1]} = [" in (package / "pyproject.toml").read_text(), line


def test_the_refusals_are_those_of_the_api() -> None:
    rows = [line for line in TEXTS["docs/getting-started.md"].splitlines() if "`ANALYTICS_" in line]
    told = {
        (int(status), code)
        for row in rows
        for status in re.findall(r"\b[45]\d\d\b", row)
        for code in re.findall("`(ANALYTICS_[A-Z_]+)`", row)
    }
    every = [*errors.TABLE.values(), *errors.FRAMEWORK.items()]
    # 422 is what the framework calls a 400.
    assert {(status, code) for status, code in every if status != 422} <= told


@pytest.mark.parametrize("name", NAMES)
def test_commands_and_their_options_exist(name: str) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for line in _commands(TEXTS[name]):
        for command, rest in re.findall(r"(?:^|[\s/])vca ([a-z]+)([^#|;]*)", line):
            assert command in commands, line
            # `vca replay dead-letters` and the like: the options of what is under the command.
            some = [commands[command], *getattr(commands[command], "commands", {}).values()]
            known = {option for one in some for each in one.params for option in each.opts} | {"--help"}
            assert set(re.findall(r"--[a-z-]+", rest)) <= known, line


@pytest.mark.parametrize("name", NAMES)
def test_environment_variables_are_settings(name: str) -> None:
    known = {field.upper() for kind in (Settings, ApiSettings) for field in kind.model_fields}
    text = " ".join(_commands(TEXTS[name]))
    named = set(re.findall(r"\$\{?([A-Z][A-Z_]+)", text)) | set(re.findall(r"\b([A-Z]+(?:_[A-Z]+)*)=", text))
    named |= {span for span in _SPAN.findall(TEXTS[name]) if re.fullmatch(r"[A-Z]+_[A-Z_]+", span)}
    servers = {f"{PREFIX}{name}" for name in SERVERS}
    assert named <= known | OTHER_VARIABLES | COMPOSE_VARIABLES | OTHER_WORDS | CODES | servers


@pytest.mark.parametrize("name", NAMES)
def test_metrics_exist(name: str) -> None:
    registered = {instrument.name for instrument in INSTRUMENTS}
    named = {span for span in _SPAN.findall(TEXTS[name]) if span.startswith("videocloud_")}
    assert named <= registered


@pytest.mark.parametrize("name", ["docs/runbook.md", "docs/capacity.md"])
def test_what_to_look_at_is_on_a_dashboard(name: str) -> None:
    named = set(re.findall(r"(?<!\*)\*([A-Z][^*\n]+)\*(?!\*)", TEXTS[name]))
    assert len(named) >= 4
    panels = {panel.title for board in DASHBOARDS for panel in board.panels}
    assert named <= panels | {board.title for board in DASHBOARDS}


def test_the_guarantees_name_a_test_each() -> None:
    for name, heading in (("README.md", "## Guarantees"), ("docs/delivery.md", "## The promise")):
        section = TEXTS[name].partition(heading)[2].partition("\n## ")[0]
        rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
        assert len(rows) >= 6
        assert [row for row in rows if "tests/" not in row] == []


def _take(union: Any, values: list[bytes]) -> list[Struct]:
    records = [Taken(offset, 0, b"key", value) for offset, value in enumerate(values)]
    events: list[Struct] = []
    for event in Decoder[Any](union).decode(records):
        assert not isinstance(event, Rejected), event.reason
        events.append(event)
    return events


def test_the_event_that_kcat_sends_is_sound() -> None:
    (line,) = (
        line for block in _blocks("README.md", "sh") for line in block.splitlines() if "view.start" in line
    )
    record = line.partition("echo '")[2].rpartition("'")[0].replace("'$now'", "1795462080000")
    key, _, value = record.partition("|")
    (event,) = _take(PlaybackEvent, [value.encode()])
    assert getattr(event, "view_id") == key  # noqa: B009


class _Producer:
    """Stands in for both libraries' producers: keeps what is sent."""

    sent: list[tuple[str, bytes]] = []

    def __init__(self, *_: object, **__: object) -> None:
        self.sent.clear()

    def produce(self, topic: str, key: str, value: str) -> None:
        assert json.loads(value)["viewId"] == key
        self.sent.append((topic, value.encode()))

    def flush(self) -> None:
        assert self.sent

    async def send_and_wait(self, topic: str, key: bytes, value: bytes) -> None:
        assert json.loads(value)["userId"].encode() == key
        self.sent.append((topic, value))

    async def __aenter__(self) -> _Producer:
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.sent


@pytest.mark.parametrize(
    ("library", "topic", "union", "count"),
    [("confluent_kafka", "playback.events", PlaybackEvent, 2), ("aiokafka", "user.events", UserEvent, 1)],
)
def test_the_programs_that_send_events_send_sound_ones(
    library: str, topic: str, union: Any, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (program,) = (block for block in _blocks("README.md", "python") if f"from {library} import" in block)
    stand_in = types.ModuleType("confluent_kafka")
    stand_in.Producer = _Producer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "confluent_kafka", stand_in)
    monkeypatch.setattr(aiokafka, "AIOKafkaProducer", _Producer)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    exec(compile(program, "README.md", "exec"), {"__name__": "readme"})
    assert {sent for sent, _ in _Producer.sent} == {topic}
    events = _take(union, [value for _, value in _Producer.sent])
    assert events[:count] == events[count:], "each is sent twice"
    assert len({getattr(event, "event_id") for event in events}) == count  # noqa: B009


def test_every_setting_of_both_processes_is_told() -> None:
    told = TEXTS["docs/configuration.md"]
    for kind in (Settings, ApiSettings):
        for name, field in kind.model_fields.items():
            assert field.description, name
            assert f"| `{name.upper()}` |" in told


def test_the_numbers_that_the_pages_tell_are_those_of_the_code() -> None:
    from streams.domain.views import WINDOW
    from streams.exit_codes import FAULT, REFUSED
    from tests.faults.catalog import FAULTS

    assert f"status {FAULT}" in TEXTS["docs/delivery.md"]
    assert f"Status {REFUSED}" in TEXTS["docs/delivery.md"]
    assert f"exit status {REFUSED}" in TEXTS["docs/operations.md"]
    assert f"RestartPreventExitStatus={REFUSED}" in TEXTS["docs/operations.md"]
    assert f"`seq` is {WINDOW} or more" in TEXTS["docs/delivery.md"]
    assert f"[{len(FAULTS)} faults" in TEXTS["README.md"]


def test_capacity_is_planned_with_the_costs_that_were_measured() -> None:
    from docs.capacity_page import COSTS

    told = " ".join(TEXTS["docs/performance.md"].split())
    for part, micros in COSTS.items():
        assert re.search(rf"{part}[^.]*?\b{micros}\b", told), f"docs/capacity_page.py: cost of {part}"


def test_the_index_and_the_list_of_decisions_name_every_page() -> None:
    for index, folder in (("docs/README.md", "docs"), ("docs/decisions/README.md", "docs/decisions")):
        pages = {page.name for page in (ROOT / folder).glob("*.md")} - {"README.md"}
        assert pages - {link.partition("#")[0] for link in _LINK.findall(TEXTS[index])} == set()
