"""Signed links to the files of exports; a link allows the download until it expires."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from itsdangerous import BadSignature, URLSafeSerializer

from api.exports.errors import ExpiredExportError, ForbiddenLinkError

_SALT: Final = "videocloud.exports"


def token(secret: str, export_id: str, expires: datetime) -> str:
    """Return the token that opens one export until `expires`."""
    return str(URLSafeSerializer(secret, _SALT).dumps([export_id, int(expires.timestamp())]))


def check(secret: str, export_id: str, given: str, now: datetime) -> None:
    """Raise ForbiddenLinkError for a token not of this export, ExpiredExportError for an expired one."""
    try:
        meant, expires = URLSafeSerializer(secret, _SALT).loads(given)
    except (BadSignature, ValueError, TypeError):
        raise ForbiddenLinkError from None
    if meant != export_id:
        raise ForbiddenLinkError
    if now.timestamp() >= expires:
        raise ExpiredExportError(export_id)
