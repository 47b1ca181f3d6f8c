"""docs/sdk-python.md: the Python SDK's reference, from its signatures and docstrings."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any, Final, get_args

import videocloud
from pydantic import TypeAdapter
from videocloud import errors, events, models, types
from videocloud._live import watching
from videocloud._operation import operation
from videocloud.analytics import Analytics
from videocloud.events import model
from videocloud.events.resource import Events, _Sends

_INTRODUCTION: Final = """\
<!-- Made by docs/generate.py from sdk/python: change it there. -->

# Python SDK

This page lists every method, model and error of the distribution `videocloud`;
[its README](../sdk/python/README.md) shows how to use them. The signatures are those of `VideoCloud`;
`AsyncVideoCloud` has the same methods as coroutines, except those that send events, which never wait.
"""


def _text(what: Any) -> str:
    return inspect.cleandoc(what.__doc__ or "")


def _indented(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text)


def _annotation(node: ast.expr | None) -> str:
    """Write an annotation as it stands in the source, without the packages that only the source needs."""
    return "" if node is None else ast.unparse(node).replace("models.", "")


def _definition(function: Any) -> ast.FunctionDef | ast.AsyncFunctionDef:
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    return node


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    arguments = node.args
    positional = arguments.args[1:]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    for argument, default in zip(positional, defaults, strict=True):
        yield _parameter(argument, default)
    if arguments.kwonlyargs:
        yield "*"
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(argument, default)


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    written = f"{argument.arg}: {_annotation(argument.annotation)}"
    return written if default is None else f"{written} = {_annotation(default)}"


def _method(name: str, function: Any, returns: str | None = None) -> list[str]:
    node = _definition(function)
    parameters = list(_parameters(node))
    answer = returns or _annotation(node.returns)
    head = f"def {name}({', '.join(parameters)}) -> {answer}"
    if len(head) > 100:
        head = f"def {name}(\n" + "".join(f"    {each},\n" for each in parameters) + f") -> {answer}"
    return [f"### `{name}`", "", "```python", head, "```", "", _text(function), ""]


def _analytics() -> Iterator[str]:
    for name, what in vars(Analytics).items():
        if isinstance(what, watching):
            answer = _annotation(_definition(what.method).returns).replace("Watch[", "LiveStream[")
            yield from _method(name, what.method, answer)
        elif isinstance(what, operation):
            yield from _method(name, what.method)


def _fields(kind: type[Any]) -> Iterator[tuple[str, str, str]]:
    """Yield name, type and description of each field, those of bases first."""
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("videocloud."):
            (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
            assert isinstance(tree, ast.ClassDef)
            for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    if node.target.id not in kind.model_fields:
                        continue
                    told = after.value if isinstance(after, ast.Expr) else None
                    text = str(told.value) if isinstance(told, ast.Constant) else ""
                    yield node.target.id, _plain(_annotation(node.annotation)), _indented(text)


def _plain(annotation: str) -> str:
    return re.sub(r"(?:Open|Omittable)\[(Literal\[[^]]*\]|\w+)\]", r"\1", annotation)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _table(kind: type[Any], skip: Iterable[str] = ()) -> Iterator[str]:
    rows = [row for row in _fields(kind) if row[0] not in skip]
    if rows:
        yield "| field | type | |"
        yield "|---|---|---|"
        for name, annotation, text in rows:
            yield f"| `{name}` | `{_cell(annotation)}` | {_cell(text)} |"
        yield ""


def _models() -> Iterator[str]:
    for name in models.__all__:
        if name not in ("Model", "Answer", "Returns"):
            kind = getattr(models, name)
            yield from (f"### {name}", "", _text(kind), "", *_table(kind))


def _limits() -> Iterator[str]:
    """Yield the types of fields of events, by what they let through."""
    yield from ("| type | |", "|---|---|")
    for name in ("Identifier", "EventId", "Label", "Text", "Country", "Millis", "DurationMs", "Length"):
        yield f"| `{name}` | {_limit(getattr(model, name))} |"
    for name in ("Count", "Sequence", "Kbps", "Size", "Share", "Load", "Status"):
        yield f"| `{name}` | {_limit(getattr(model, name))} |"
    yield "| `Instant` | an aware datetime, or epoch milliseconds |"
    yield ""


def _limit(kind: Any) -> str:
    schema = TypeAdapter(kind).json_schema()
    if "pattern" in schema:
        return f"`{schema['pattern']}`"
    if schema["type"] == "string":
        return f"text of {schema.get('minLength', 0)} to {schema['maxLength']:,} characters"
    return f"{schema['type']}, {schema['minimum']:,} to {schema['maximum']:,}"


def _events() -> Iterator[str]:
    yield from ("Every event also takes:", "", *_table(model.Event))
    shared = [name for name, *_ in _fields(model.Person)]
    told = [name for name, *_ in _fields(model.Event)]
    yield from (_indented(_text(model.Person)), "", *_table(model.Person, told))
    yield from ("What the types of fields let through:", "", *_limits())
    for name, what in vars(Events).items():
        if isinstance(what, _Sends):
            kind: Any = what.kind
            whose = " Takes what an event of a person takes." if issubclass(kind, model.Person) else ""
            yield from (f"### `{name}`", "", f"Sends `{kind.__name__}`. {_indented(_text(kind))}{whose}", "")
            yield from _table(kind, [*shared, "type"])
        elif name in ("playback", "send", "delete_video"):
            yield from _method(name, what)
        elif isinstance(what, operation):
            yield from _method(name, what.method)
    yield from ("### PlaybackSession", "", _text(events.PlaybackSession), "")
    for name in ("attempt", "start", "progress", "seek", "error", "end"):
        for line in _method(name, getattr(events.PlaybackSession, name)):
            yield line.replace("### `", "#### `PlaybackSession.") if line.startswith("###") else line


def _words() -> Iterator[str]:
    yield from ("| type | |", "|---|---|")
    for name, what in vars(types).items():
        if not name.startswith("_") and name != "Literal" and name != "annotations":
            words = (each for part in get_args(what) for each in get_args(part) or (part,))
            yield f"| `{name}` | {', '.join(f'`{word}`' for word in words)} |"
    yield ""


def page() -> str:
    """Return docs/sdk-python.md."""
    client = videocloud.VideoCloud
    lines = [_INTRODUCTION, "## VideoCloud", "", _text(client), ""]
    lines += ["### Options", "", *_options(client.__init__), ""]
    for name in ("with_options", "get_health", "get_readiness", "close"):
        what = inspect.getattr_static(client, name)
        lines += _method(name, what.method if isinstance(what, operation) else what)
    lines += ["## client.analytics", "", _text(Analytics), "", *_analytics()]
    lines += ["## client.events", "", _text(Events), "", *_events()]
    lines += ["## Words", "", *_words()]
    lines += ["## Models", "", _text(models.Model), "", *_models()]
    lines += ["## Errors", "", _text(errors)]
    return "\n".join(lines) + "\n"


def _options(function: Any) -> Iterator[str]:
    """Yield the arguments of a docstring in Google's style as a table."""
    text = _text(function)
    yield "| argument | |"
    yield "|---|---|"
    arguments = text.partition("Args:\n")[2]
    for found in re.finditer(r"^    (\w+): (.*(?:\n {8}.*)*)", arguments, re.MULTILINE):
        yield f"| `{found[1]}` | {_cell(_indented(found[2]))} |"
