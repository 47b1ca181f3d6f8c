"""`/analytics/export`: files for spreadsheets and data teams, made in the background."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path as FilePath
from typing import Annotated, Protocol

from fastapi import APIRouter, Body, Path, Query, Request
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.types import Message, Receive, Send
from starlette.types import Scope as AsgiScope

from api import parameters, schemas_exports
from api.auth import key_of, keyed_route
from api.deps import ExportsDep, Now, ParserDep, SettingsDep, Stores, StoresDep, json
from api.errors import ForbiddenError
from api.exports.columns import SYSTEM, USER, VIDEO, metrics_of
from api.exports.orders import FORMATS, Order, format_of, kind_of
from api.exports.service import gone
from api.openapi import errors
from api.user_service import ahead_of
from streams.domain.access import Scope


class Beginning(Protocol):
    """A reader that knows when its data begins."""

    async def first(self) -> datetime | None:
        """Return the instant of the first data; None when there is none."""


router = APIRouter(prefix="/analytics/export", tags=["exports"], route_class=keyed_route(Scope.EXPORT))
#: Opened by the signature of the link, not by a key.
downloads = APIRouter(prefix="/analytics/export", tags=["exports"])
Id = Annotated[str, Path(description="The `exportId` that was answered.", max_length=128)]
_ANSWER = {"content": {"application/json": {"example": schemas_exports.EXPORT_EXAMPLE}}}


@router.post(
    "",
    status_code=202,
    summary="Create an export",
    response_model=schemas_exports.ExportResponse,
    responses={202: _ANSWER, **errors(400, 503)},
)
async def create_export(
    request: Request,
    body: Annotated[
        schemas_exports.ExportRequest,
        Body(openapi_examples={"reference": {"value": schemas_exports.REQUEST_EXAMPLE}}),
    ],
    exports: ExportsDep,
    stores: StoresDep,
    parser: ParserDep,
    settings: SettingsDep,
) -> Response:
    """Queue an export of videos, users or the platform itself.

    `video` has a row for each video and day with anything in it, cut exactly at the edges of the window.
    `user` has a row for each day, `system` one for each quarter of an hour: all that the window touches and
    that have begun, as a whole. Ratios come with what they are made of, so that rows can be added up.

    Ask `GET /analytics/export/{id}` until its status is `completed`, then open `downloadUrl`. The window is
    that of the moment of asking. An export of type `system` needs a key with the scope system as well.
    """
    parameters.check_names(request, ())
    kind = kind_of(body.type)
    if kind == SYSTEM:
        _check_system_scope(request, stores)
    question = parser.parse(
        period=body.period if "period" in body.model_fields_set else None,
        default="30d",
        start=body.start,
        end=body.end,
        zone=body.timezone,
    )
    metrics, form = metrics_of(kind, body.metrics), format_of(body.format)

    begins: dict[str, Beginning] = {
        VIDEO: stores.videos.catalog,
        USER: stores.users.reader,
        SYSTEM: stores.system.reader,
    }
    first = await begins[kind].first() if question.needs_first else None
    window = question.window(first, ahead_of(metrics) if kind == USER else timedelta())
    described = await exports.create(
        Order(kind, metrics, form, window), parser.now, _base(request, settings.public_url)
    )
    answer = json({"success": True, "data": described})
    answer.status_code = 202
    answer.headers["Location"] = f"{request.scope['root_path']}/analytics/export/{described['exportId']}"
    return answer


def _check_system_scope(request: Request, stores: Stores) -> None:
    """Raise ForbiddenError for a key without the scope system: exports must not give access to its data."""
    if not stores.keyring.open and Scope.SYSTEM not in key_of(request).scopes:
        raise ForbiddenError(
            f"This key does not have the scope {Scope.SYSTEM}, which exports of this type need as well."
        )


def _base(request: Request, public: str | None) -> str:
    return (public or str(request.base_url)).rstrip("/")


@router.get(
    "/{id}",
    summary="Status of an export",
    response_model=schemas_exports.ExportResponse,
    responses={200: _ANSWER, **errors(400, 404, 410, 503)},
)
async def get_export(
    id: Id, request: Request, exports: ExportsDep, now: Now, settings: SettingsDep
) -> Response:
    """Status, rows and bytes so far, and the link to the file."""
    parameters.check_names(request, ())
    described = await exports.status(id, now, _base(request, settings.public_url))
    return json({"success": True, "data": described})


class _File(FileResponse):
    """A file, or the piece of it that the header Range names; a wrong one is an error in the common shape."""

    def __init__(self, export_id: str, path: FilePath, form: str, headers: Mapping[str, str]) -> None:
        """Answer an export's file, which has a format, with headers besides those of its content."""
        super().__init__(path, media_type=FORMATS[form], filename=f"{export_id}.{form}", headers=headers)
        self._export_id = export_id

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Send the file.

        A malformed Range, or one outside of the file, raises `HTTPException` with 416; a file that is gone
        raises `FailedExportError`.
        """
        # The status waits for the content: the file is opened in between, and may have been removed by then.
        waiting: list[Message] = []

        async def checked(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] in (400, 416):
                    size = Headers(raw=message["headers"]).get("content-range")
                    raise HTTPException(416, headers={"Content-Range": size} if size else None)
                waiting.append(message)
                return
            if waiting:
                await send(waiting.pop())
            await send(message)

        try:
            # Starlette's own look at the file would raise another error.
            self.stat_result = await asyncio.to_thread(os.stat, self.path)
            self.set_stat_headers(self.stat_result)
            await super().__call__(scope, receive, checked)
        except FileNotFoundError as error:
            raise gone(self._export_id) from error


@downloads.get(
    "/{id}/download",
    summary="File of an export",
    response_class=FileResponse,
    responses={
        200: {"content": {media: {} for media in FORMATS.values()}, "description": "The file."},
        206: {"description": "The bytes of the file that the `Range` header names."},
        307: {"description": "The file is in a bucket: `Location` opens it for an hour at most."},
        **errors(400, 404, 409, 410, 416, 500, 503),
    },
)
async def download_export(
    id: Id,
    request: Request,
    exports: ExportsDep,
    now: Now,
    token: Annotated[str, Query(description="The signature in `downloadUrl`.", max_length=512)] = "",
) -> Response:
    """Needs the token in `downloadUrl` and no key. Returns 409 with `Retry-After` until the file is ready."""
    parameters.check_names(request, {"token"})
    found, form = await exports.file(id, token, now)
    headers = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
    if isinstance(found, str):
        return RedirectResponse(found, headers=headers)
    return _File(id, found, form, headers)
