"""Write the documents that are generated from code; `--check` only says whether they are up to date.

Run `python -m docs.generate` after changing an event, a table, a setting, a metric, a route or a response;
until then, a test fails.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final

from api.app import create_app
from api.settings import Settings
from deploy.monitoring.files import FILES
from docs import capacity_page, events_page, monitoring_page, schema_page, sdk_python_page
from sinks.kafka.access import KafkaAccess
from streams.domain.asyncapi import asyncapi
from streams.domain.contract import TOPICS, Topic, json_schema
from streams.domain.definitions import METRICS, Metric
from streams.domain.measures import MEASURES, Anchor
from streams.settings import Settings as WorkerSettings

_HERE: Final = Path(__file__).parent

_INTRODUCTION: Final = """\
<!-- Made by docs/generate.py from streams/domain/definitions.py: change it there. -->

# Metrics

Each metric has one definition. Field names are paths under `data`. The tables store numerators and
denominators, which are summed, and never ratios, so any window in any time zone has one correct result.
Counts are 0 when nothing happened; ratios are null when the denominator is 0. Numbers are rounded to six
decimals.

A formula over `video_15m` can be used unchanged in your own SQL, with a condition on `bucket` and any
grouping:

```sql
SELECT video_id, {sql} AS completion_rate
FROM video_15m
WHERE bucket >= today() - 7
GROUP BY video_id
```

Windows are half-open, `[start, end)`:

| `period` | window | before it |
|---|---|---|
| `1h`, `24h` | ends at the next full minute | the hour, or the 24 hours, before |
| `1d`, `7d`, `30d` | calendar days of `timezone`, today included; ends at tonight's midnight | as many \
calendar days |
| `all` | from midnight of the day of the first data to tonight's midnight. First data that is still kept: \
of the requested video, else, depending on the endpoint, of any video, of any user, or of the platform \
| nothing |
| `start` and `end` | as given, to the millisecond | as long |

**No number is of less than its window.** Data are kept for `ROLLUP_RETENTION_DAYS`, less up to three days;
`all` begins with the first day of `timezone` that is kept as a whole. A window that begins earlier is refused
with `ANALYTICS_DATA_UNAVAILABLE` (400), whether anything happened before or not; `details.since` says when
what is kept begins. What is compared with a time before that is null: `change`, `trends`, `churnRate`. Of
sessions, data are kept eight days less, because one may have begun that long before its window, and active
users are refused if their 30 days begin too early.

Timelines cover the whole window, and their first and last points are cut at its edges. Days and hours are
those of the local clock: a day may have 23 or 25 hours, and where the clock is changed by half an hour, a
point of `groupBy=hour` covers half an hour.

Changes compare equally long stretches: the elapsed part of a window that is not over yet is compared with an
equally long part of the window before, to the minute for windows up to 48 hours and to the quarter of an hour
for longer ones.

Events count at the time when they happened, by their corrected time ([events.md](events.md)), however late
they arrive.
"""

_EXPORTS: Final = """\
## `POST /analytics/export`

Columns are named and defined as above; the numerators and denominators of ratios are added. In
xlsx, dates and times (UTC) are those of spreadsheets, and numbers have the 15 digits of spreadsheets. The
differences:

| `type` | a row is | |
|---|---|---|
| `video` | a video and day with any activity, cut at the edges of the window | `uniqueViewers` is \
`views.unique` of the row, `bufferingTime` and `watchTime` are seconds, `failedViews` are views with a fatal \
error |
| `user` | a whole day, from the first that the window touches to its last or today | `sessions` began on \
that day, `averageSessionDuration` and `pageViews` are of these sessions, whose events are looked for one \
day further than seven. `cohortUsers` were first seen on that day, `dayNUsers` are those of them active on \
that day + N, null while that day is not over |
| `system` | a whole quarter of an hour that has begun | `requestErrors` are 5xx, \
`averageJobTime` is that of `processing`, percentiles are as in `responseTime` and, like the average, \
rounded to three decimals; bytes are sums |
"""

_BUCKETS: Final = {
    Anchor.EVENT: "the event",
    Anchor.START: "the view's first frame",
    Anchor.ATTEMPT: "the view's attempt",
    Anchor.REACTION: "the event",
}


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _row(metric: Metric) -> str:
    formula = f" <br> `{metric.formula.sql}`" if metric.formula else ""
    definition = _cell(metric.definition + formula)
    return f"| `{metric.field}` | {definition} | {metric.unit} | `{metric.empty}` |"


def metrics() -> str:
    """Return docs/metrics.md."""
    completion = next(metric for metric in METRICS if metric.field == "engagement.completionRate")
    assert completion.formula is not None
    lines = [_INTRODUCTION.replace("{sql}", completion.formula.sql)]
    for endpoint, some in groupby(METRICS, key=lambda metric: metric.endpoint):
        lines += [f"## `GET {endpoint}`", ""]
        lines += ["| field | definition | unit | when empty |", "|---|---|---|---|", *map(_row, some), ""]
    lines += [_EXPORTS]
    lines += ["## Measures", ""]
    lines += ["The columns of `video_15m`, and in which quarter of an hour each is counted.", ""]
    lines += ["| column | counts | in the bucket of |", "|---|---|---|"]
    lines += [
        f"| `{measure.name}` | {_cell(measure.definition)} | {_BUCKETS[measure.anchor]} |"
        for measure in MEASURES.values()
    ]
    return "\n".join(lines) + "\n"


def openapi() -> str:
    """Return docs/openapi.json, with the version of the document, not of the installed package."""
    app = create_app(Settings(log_level="ERROR"))
    app.version = "1"
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"


_CONFIGURATION: Final = """\
<!-- Made by docs/generate.py from the settings classes: change them there. -->

# Configuration

All settings are environment variables, which are read once, at the start.
"""


_PARTS: Final[dict[str, type[KafkaAccess]]] = {
    "Worker, and `vca topics`, `migrate` and `agent`": WorkerSettings,
    "API": Settings,
    "Kafka's TLS and passwords, for all of them": KafkaAccess,
}


def configuration() -> str:
    """Return docs/configuration.md."""
    lines = [_CONFIGURATION]
    shared = KafkaAccess.model_fields
    for title, kind in _PARTS.items():
        lines += [f"## {title}", "", "| variable | default | |", "|---|---|---|"]
        for name, field in kind.model_fields.items():
            if name in shared and kind is not KafkaAccess:
                continue
            default = "" if field.default is None else f"`{field.default}`"
            lines.append(f"| `{name.upper()}` | {default} | {_cell(field.description or '')} |")
        lines.append("")
    return "\n".join(lines)


def _json(made: object) -> str:
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def _schema(topic: Topic) -> str:
    return _json(json_schema(topic))


#: The generated documents, by path under docs/.
DOCUMENTS: Final[dict[str, Callable[[], str]]] = {
    "asyncapi.json": lambda: _json(asyncapi()),
    "capacity.md": capacity_page.page,
    "configuration.md": configuration,
    "events.md": events_page.page,
    "schema.md": schema_page.page,
    "metrics.md": metrics,
    "openapi.json": openapi,
    "sdk-python.md": sdk_python_page.page,
    "monitoring.md": monitoring_page.page,
    **{f"schemas/{topic.name}.json": partial(_schema, topic) for topic in TOPICS},
    **{f"../deploy/{path}": make for path, make in FILES.items()},
}


def main() -> int:
    """Write the documents, or check them; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description=__doc__)
    explanation = "write nothing; fail when a document is out of date"
    parser.add_argument("--check", action="store_true", help=explanation)
    check = parser.parse_args().check
    stale = []
    for name, make in DOCUMENTS.items():
        path, text = _HERE / name, make()
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(name)
            if not check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, "utf-8")
    if stale:
        sys.stderr.write(f"{'out of date' if check else 'written'}: {', '.join(stale)}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
