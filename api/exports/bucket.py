"""`Storage` in a bucket of S3-compatible storage (the extra `s3`).

Files are uploaded while they are made, in parts of a multipart upload; only a spreadsheet is made on disk
first, because its format needs that. Links are presigned, so clients download from the storage and not from
the API. An interrupted upload leaves no object, but the bucket keeps its parts: give the bucket a lifecycle
rule that ends incomplete multipart uploads after a day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlsplit

from api.exports import writers
from api.exports.jobs import Job
from api.exports.orders import FORMATS
from api.exports.storage import Draft, StorageRefusedError, StorageUnavailableError, name_of
from api.settings import Settings

#: Bytes of a part: ten thousand of them, the most that S3 takes, are 80 GB.
_PART: Final = 8 << 20
#: Parts that are uploaded at once; with the one that is being filled, they bound the memory of an export.
_PARTS_AT_ONCE: Final = 3
_SWEEP_SECONDS: Final = 3600.0
#: A presigned link is valid for this long, or until the export expires.
LINK_SECONDS: Final = 3600
_CONNECT_SECONDS: Final = 5
_REQUEST_SECONDS: Final = 300
_RETRY_SECONDS: Final = 20
#: obstore's text for permanent errors: all 4xx statuses but 408 and 429.
_FORBIDDEN: Final = re.compile(r"status code: 4(?!08|29)")
#: obstore's text before its debug output of twenty lines.
_SOURCE: Final = "\n\nDebug source:"


def bucket_of(settings: Settings) -> Bucket:
    """Return the storage that `EXPORT_S3_URL` names."""
    parts = urlsplit(settings.export_s3_url or "")
    public = settings.export_s3_public_endpoint or settings.export_s3_endpoint
    stores = [_store(settings, parts.netloc, endpoint) for endpoint in (settings.export_s3_endpoint, public)]
    return Bucket(stores[0], stores[1], parts.path.strip("/"))


def _store(settings: Settings, bucket: str, endpoint: str | None) -> Any:
    from obstore.store import S3Store

    given: dict[str, Any] = {"region": settings.export_s3_region}
    if endpoint is not None:
        given["endpoint"] = endpoint
    if settings.export_s3_access_key and settings.export_s3_secret_key:
        given["access_key_id"] = settings.export_s3_access_key.get_secret_value()
        given["secret_access_key"] = settings.export_s3_secret_key.get_secret_value()
    return S3Store(
        bucket,
        **given,
        # Self-hosted servers seldom have a host name for each bucket.
        virtual_hosted_style_request=endpoint is None,
        client_options={
            "allow_http": bool(endpoint and endpoint.startswith("http://")),
            "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
            "timeout": timedelta(seconds=_REQUEST_SECONDS),
        },
        retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=_RETRY_SECONDS)},
    )


class Bucket:
    """`Storage` in a bucket. The API uses `store`; clients reach the bucket through `public`."""

    sweep_seconds = _SWEEP_SECONDS

    def __init__(self, store: Any, public: Any, prefix: str) -> None:
        """Connect nothing yet; `prefix` comes before all names, without slashes around it."""
        self._store = store
        self._public = public
        self._prefix = prefix

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    async def draft(self, job: Job, owner: str) -> Draft:
        """See `Storage.draft`."""
        name, key = name_of(job), self._key(name_of(job))
        attributes = {
            "Content-Type": FORMATS[job.extension],
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "private, no-store",
        }
        if writers.needs_disk(job.extension):
            return _Copied(self._store, key, attributes)
        import obstore

        writer = obstore.open_writer(
            self._store, key, attributes=attributes, buffer_size=_PART, max_concurrency=_PARTS_AT_ONCE
        )
        return _Streamed(writers.sink_of(job.extension, _Upload(writer)))

    async def find(self, job: Job, now: datetime) -> str | None:
        """See `Storage.find`."""
        import obstore
        from obstore.exceptions import NotFoundError

        key = self._key(name_of(job))
        seconds = min(LINK_SECONDS, max(1, int((job.expires - now).total_seconds())))
        with _storage_errors():
            try:
                await obstore.head_async(self._store, key)
            except (NotFoundError, FileNotFoundError):
                return None
            return await obstore.sign_async(self._public, "GET", key, timedelta(seconds=seconds))

    async def sweep(self, before: float) -> None:
        """See `Storage.sweep`."""
        import obstore

        oldest = datetime.fromtimestamp(before, UTC)
        with _storage_errors():
            async for found in obstore.list(self._store, self._prefix or None):
                old = [
                    each["path"]
                    for each in found
                    if each["last_modified"] < oldest
                    and each["path"].removeprefix(f"{self._prefix}/").startswith("exp_")
                ]
                if old:
                    await obstore.delete_async(self._store, old)


class _Upload:
    """`Out` into a multipart upload; closing it creates the object."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def write(self, content: bytes) -> None:
        with _storage_errors():
            self._writer.write(content)

    def close(self) -> None:
        with _storage_errors():
            self._writer.close()

    def abandon(self) -> None:
        # An upload that is never closed creates no object.
        self._writer = None


class _Streamed:
    """`Draft` that is published when its sink is closed."""

    def __init__(self, sink: writers.Sink) -> None:
        self.sink = sink

    async def publish(self) -> None:
        """See `Draft.publish`."""

    def discard(self) -> None:
        """See `Draft.discard`."""


class _Copied:
    """`Draft` on disk, uploaded as a whole."""

    def __init__(self, store: Any, key: str, attributes: dict[str, str]) -> None:
        self._store, self._key, self._attributes = store, key, attributes
        self._folder = TemporaryDirectory(prefix="vca-export-")
        self._path = Path(self._folder.name, "book")
        self.sink = writers.workbook(self._path)

    async def publish(self) -> None:
        """See `Draft.publish`."""
        import obstore

        with _storage_errors():
            await obstore.put_async(
                self._store,
                self._key,
                self._path,
                attributes=self._attributes,
                chunk_size=_PART,
                max_concurrency=_PARTS_AT_ONCE,
            )

    def discard(self) -> None:
        """See `Draft.discard`."""
        self._folder.cleanup()


@contextmanager
def _storage_errors() -> Iterator[None]:
    """Turn errors of obstore into those of `Storage`."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, OSError) as error:
        raise _classified(error) from error


def _classified(error: Exception) -> StorageUnavailableError | StorageRefusedError:
    """Return whether a failure of the storage is transient or permanent, as an error of `Storage`.

    For connection errors and statuses from 500 on, obstore raises generic errors, and its writers a plain
    `OSError`; a refused list is a generic error as well. So the text decides.
    """
    from obstore.exceptions import GenericError

    said = str(error).partition(_SOURCE)[0]
    generic = isinstance(error, GenericError | TimeoutError | ConnectionError) or said.startswith("Generic ")
    if generic and not _FORBIDDEN.search(said):
        return StorageUnavailableError(f"the bucket does not answer: {said}")
    return StorageRefusedError(f"the bucket refuses: {said}")
