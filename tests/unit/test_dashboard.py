"""The dashboard shows fields that the API has, runs nothing but its own files, and works under any path."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from api.dashboard.files import PATH, STATIC
from tests.readings.stores import NOWHERE, serving

PAGE = (STATIC / "index.html").read_text()
SCRIPT = (STATIC / "app.js").read_text()
DOCUMENT = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
NOW = datetime(2024, 3, 30, 14, 5, 27, tzinfo=UTC)


class _Shown(HTMLParser):
    """Notes each element's attributes, with the answer and the rows that it stands in."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[str, str, dict[str, str | None]]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._answer = self._rows = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        self._answer = given.get("data-answer") or self._answer
        self._rows = given.get("data-rows") or self._rows
        self.shown.append((self._answer, self._rows, given))

    def handle_endtag(self, tag: str) -> None:
        if tag == "tbody":
            self._rows = ""


def page() -> _Shown:
    shown = _Shown()
    shown.feed(PAGE)
    return shown


def fields() -> Iterator[tuple[str, str]]:
    """Yield the answer and the field of everything that the page shows; `[]` is each of a list."""
    for answer, rows, given in page().shown:
        inside = f"{rows}[]." if rows else ""
        for name in ("data-field", "data-else", "data-video"):
            if given.get(name):
                yield answer, f"{inside}{given[name]}"
        if rows := given.get("data-rows") or "":
            yield answer, f"{rows}[]"
        if shares := given.get("data-shares"):
            yield answer, f"{shares}{{}}"
        if bars := given.get("data-bars"):
            yield answer, f"{bars}[].{given['data-label']}"
            yield answer, f"{bars}[].{given['data-value']}"


def has(schema: dict[str, Any], path: list[str]) -> bool:
    """Say whether answers of a schema have a field."""
    if "$ref" in schema:
        return has(DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], path)
    if "anyOf" in schema:
        return any(has(one, path) for one in schema["anyOf"])
    if not path:
        return schema.get("type") != "null"
    name, *rest = path
    if name == "[]":
        return schema.get("type") == "array" and has(schema["items"], rest)
    if name == "{}":
        return "additionalProperties" in schema
    return name in schema.get("properties", {}) and has(schema["properties"][name], rest)


@pytest.mark.parametrize(("answer", "field"), sorted(set(fields())))
def test_every_field_of_the_page_is_one_of_the_api(answer: str, field: str) -> None:
    response = DOCUMENT["paths"][f"/analytics/{answer}"]["get"]["responses"]["200"]
    schema = response["content"]["application/json"]["schema"]
    assert has(schema, ["data", *re.findall(r"\[\]|\{\}|\w+", field)])


def test_what_holds_the_page_to_the_api_sees_a_field_that_is_not_there() -> None:
    schema = {"$ref": "#/components/schemas/SummaryResponse"}
    assert has(schema, ["data", "topVideos", "[]", "title"])
    assert not has(schema, ["data", "topVideos", "[]", "titel"])
    assert not has(schema, ["data", "topVideos", "title"])


def test_the_script_knows_every_form_and_finds_every_element() -> None:
    forms = set(re.findall(r"^  (\w+):", SCRIPT[SCRIPT.index("const FORMS") :].partition("};")[0], re.M))
    shown = page()
    wanted = {given["data-as"] for _, given in shown.tags if given.get("data-as")}
    assert wanted
    assert wanted <= forms
    ids = {given["id"] for _, given in shown.tags if "id" in given}
    looked_up = set(re.findall(r'byId\("(\w+)"\)', SCRIPT))
    assert looked_up
    assert looked_up <= ids


def test_nothing_in_the_page_needs_more_than_its_policy_allows() -> None:
    for tag, given in page().tags:
        assert "style" not in given
        assert not [name for name in given if name.startswith("on")]
        assert tag != "script" or given.get("src")
        assert not re.match(r"(https?:)?//", given.get("src") or given.get("href") or "")
    # What events say is only ever written as text.
    assert "innerHTML" not in SCRIPT


@pytest.mark.parametrize("under", ["", "/video/cloud"])
async def test_the_page_and_all_that_it_loads_are_there(under: str) -> None:
    host = "https://example.com"
    settings = {"public_url": host + under} if under else {}
    async with serving(lambda: NOW, **settings, **NOWHERE) as served:
        entry = await served.client.get(PATH)
        assert (entry.status_code, entry.headers["location"]) == (307, f"{under}{PATH}/")
        at = urljoin(f"{host}{under}{PATH}", entry.headers["location"])
        linked = [given.get("src") or given.get("href") for _, given in page().tags]
        for address in {at, *(urljoin(at, each) for each in linked if each)}:
            answer = await served.client.get(address.removeprefix(host).removeprefix(under))
            assert answer.status_code in {200, 307}, address
            if PATH in address:
                assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert urljoin(at, "../analytics/") == f"{host}{under}/analytics/"


@pytest.mark.parametrize(
    "path", ["nope", "../files.py", "%2e%2e/files.py", "..%2f..%2fsettings.py", "/etc/passwd"]
)
async def test_nothing_else_is_served_from_there(path: str) -> None:
    async with serving(lambda: NOW, **NOWHERE) as served:
        answer = await served.client.get(f"{PATH}/{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "ANALYTICS_NOT_FOUND")


async def test_a_browser_that_has_a_file_is_not_sent_it_again() -> None:
    async with serving(lambda: NOW, **NOWHERE) as served:
        first = await served.client.get(f"{PATH}/app.js")
        again = await served.client.get(f"{PATH}/app.js", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        counted = (await served.client.get("/metrics")).text
        assert f'route="{PATH}"' in counted
