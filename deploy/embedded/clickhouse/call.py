"""One HTTP request read into what the engine needs: statement, settings, bound parameters, identity."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from uuid import uuid4

import lz4.frame
from aiohttp import BodyPartReader, web

from deploy.embedded.clickhouse.errors import BAD_ARGUMENTS, NOT_IMPLEMENTED, EngineError

try:
    from compression import zstd  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    from backports import zstd

# Parameters that ClickHouse's HTTP interface uses itself. The rest of the query string is settings.
_TRANSPORT = {
    "query",
    "database",
    "default_format",
    "user",
    "password",
    "quota_key",
    "query_id",
    "session_id",
    "session_timeout",
    "session_check",
    "close_session",
    "role",
    "stacktrace",
    "buffer_size",
    "wait_end_of_query",
    "compress",
    "decompress",
    "client_protocol_version",
    "enable_http_compression",
    "http_zlib_compression_level",
    "send_progress_in_http_headers",
    "http_headers_progress_interval_ms",
    "add_http_cors_header",
}

# From this protocol on (DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION) a column of a Native block has one byte
# more. The engine writes Native as it is in files: such a client would fail with an error that says nothing.
_OTHER_NATIVE = 54_454


@dataclass(frozen=True, slots=True)
class Call:
    """What a client asked for.

    `sql` is the statement with the data of an INSERT behind it, as bytes, because Native data is no text.
    `settings` are applied to this one statement. `parameters` are the `param_*` of the query string.
    """

    sql: bytes
    database: str | None = None
    default_format: str | None = None
    query_id: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)


def _unzstd(data: bytes) -> bytes:
    return bytes(zstd.decompress(data))


_DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "lz4": lz4.frame.decompress,
    "zstd": _unzstd,
}


def decode_body(data: bytes, encoding: str) -> bytes:
    """Undo a Content-Encoding; raise EngineError (400 or 501) when it is broken or unknown."""
    decoder = _DECODERS.get(encoding.strip().lower())
    if decoder is None:
        known = ", ".join(name for name in _DECODERS if name)
        raise EngineError.refuse(
            NOT_IMPLEMENTED, f"Content-Encoding {encoding} is unknown here; use {known}."
        )
    try:
        return decoder(data)
    except Exception as error:
        raise EngineError.refuse(
            BAD_ARGUMENTS, f"Cannot decompress the body as {encoding}: {error}."
        ) from error


async def _form_fields(request: web.Request) -> list[tuple[str, str]]:
    """Read a multipart form of query and parameters; files (external data) are refused."""
    fields: list[tuple[str, str]] = []
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader) or part.filename:
            raise EngineError.refuse(NOT_IMPLEMENTED, "The embedded server takes no external data.")
        fields.append((part.name or "", await part.text()))
    return fields


def _from_fields(fields: Iterable[tuple[str, str]], body: bytes, headers: Mapping[str, str]) -> Call:
    """Sort the fields of a request into statement, settings and parameters."""
    values = dict(fields)
    if values.get("compress") in ("1", "true") or values.get("decompress") in ("1", "true"):
        text = "The embedded server has no block compression (compress=1, decompress=1): "
        raise EngineError.refuse(
            NOT_IMPLEMENTED, text + "turn it off in the client (in a JDBC address: ?compress=false)."
        )
    version = values.get("client_protocol_version", "0")
    if version.isdecimal() and int(version) >= _OTHER_NATIVE:
        text = f"The embedded server's Native format is older than client_protocol_version={version}: "
        raise EngineError.refuse(
            NOT_IMPLEMENTED, text + "clickhouse-go, and what is built on it, needs a real server."
        )
    query = values.get("query", "").encode()
    sql = query + b"\n" + body if query.strip() and body else query or body
    if not sql.strip():
        raise EngineError.refuse(62, "Syntax error: Empty query. (SYNTAX_ERROR)")
    return Call(
        sql=sql,
        database=values.get("database") or headers.get("X-ClickHouse-Database"),
        default_format=values.get("default_format") or headers.get("X-ClickHouse-Format"),
        query_id=values.get("query_id") or headers.get("X-ClickHouse-Query-Id") or str(uuid4()),
        settings={k: v for k, v in values.items() if k not in _TRANSPORT and not k.startswith("param_")},
        parameters={k[6:]: v for k, v in values.items() if k.startswith("param_")},
    )


async def read_call(request: web.Request) -> Call:
    """Read a GET or POST. A GET may only read, as in ClickHouse (readonly=2 unless it asks for stricter)."""
    fields = list(request.query.items())
    body = b""
    if request.content_type == "multipart/form-data":
        fields += await _form_fields(request)
    elif request.can_read_body:
        body = decode_body(await request.read(), request.headers.get("Content-Encoding", ""))
    if request.method in ("GET", "HEAD") and dict(fields).get("readonly", "0") == "0":
        fields = [(name, value) for name, value in fields if name != "readonly"] + [("readonly", "2")]
    return _from_fields(fields, body, request.headers)
