"""The API's settings: read from the environment once, at the root, and passed in from there."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from api.cors import parse_origins
from api.limits import parse_limit
from api.root_path import path_of
from sinks.kafka.access import KafkaAccess
from streams.domain.log_output import LogLevel


def _readable(read: Callable[[Any], object]) -> AfterValidator:
    """Return a validator that parses a text, and keeps the text as the value."""

    def check(text: Any) -> Any:
        read(text)
        return text

    return AfterValidator(check)


def _bucket(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc:
        raise ValueError("it must be s3://bucket or s3://bucket/prefix")
    if find_spec("obstore") is None:
        raise ValueError(
            "it needs the extra `s3`: pip install 'videocloud-analytics[s3]', or unset it to keep exports in "
            "EXPORT_DIR"
        )
    return url


class Settings(KafkaAccess):
    """Environment variables of the API; every field is documented in docs/configuration.md."""

    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Redis: the live window.")
    clickhouse_url: str = Field(
        "http://127.0.0.1:8123/videocloud", description="ClickHouse over HTTP; the path is the database."
    )
    api_key: SecretStr | None = Field(
        None,
        description="Key with all scopes, valid in addition to those of `vca keys`. Without it, the API is "
        "open to everyone who can reach it, unless REQUIRE_KEY is set.",
    )
    require_key: bool = Field(
        False,
        description="Refuse requests without a key even if API_KEY is not set: only keys of `vca keys` work.",
    )
    rate_limit: Annotated[str, _readable(parse_limit)] = Field(
        "600/minute",
        description="Rate limit of each key, such as `100/second` or `5000/hour`; `none` for no limit.",
    )
    cors_origins: Annotated[str, _readable(parse_origins)] = Field(
        "",
        description="Origins whose pages may call this API from a browser (CORS), such as "
        "`https://dash.example.com`, comma-separated; `*` for all. If empty, only the API's own origin.",
    )
    live_streams: int = Field(
        200,
        ge=1,
        description="Most live streams (server-sent events) that one process has open at once; one key may "
        "hold three quarters of them.",
    )
    raw_retention_days: int = Field(
        180,
        ge=3,
        description="Days that raw events are kept. Older windows must start and end on a quarter hour.",
    )
    rollup_retention_days: int = Field(
        1100,
        ge=3,
        description="Days that roll-ups are kept, and everything that is not a single event. Windows that "
        "begin before, or in the next three days, are refused.",
    )
    store_patience: float = Field(
        1.0, gt=0, le=60, description="Seconds without a response after which a store counts as down."
    )
    query_seconds: float = Field(30.0, gt=0, description="Longest time that one query may take, in seconds.")
    clickhouse_connections: int = Field(20, ge=1, description="Most connections to ClickHouse.")
    warm_up: bool = Field(
        True,
        description="Whether each process loads the data of past days that user analytics need in the "
        "background, after its start and when a day ends, so that no request has to wait for it.",
    )
    known_megabytes: int = Field(
        256,
        ge=0,
        description="Memory, in MB, in which each process caches the users known before today, from the data "
        "that it loads in the background, so that user analytics read only newer rows. A window of 30 days "
        "with a million users takes about 90; what does not fit is queried from ClickHouse each time.",
    )
    redis_connections: int = Field(50, ge=1, description="Most connections to Redis.")
    export_dir: str = Field(
        ".run/exports", description="Folder of export files; all API processes must share it."
    )
    export_s3_url: Annotated[str, AfterValidator(_bucket)] | None = Field(
        None,
        description="Bucket in S3-compatible storage for export files, in place of EXPORT_DIR: "
        "`s3://bucket/prefix`. Needs the extra `s3`.",
    )
    export_s3_endpoint: str | None = Field(
        None,
        description="Address of S3 storage other than Amazon's, such as `https://minio.example.com:9000`.",
    )
    export_s3_public_endpoint: str | None = Field(
        None, description="Address under which callers reach that storage, if it differs."
    )
    export_s3_region: str = Field("us-east-1", description="Region of the bucket.")
    export_s3_access_key: SecretStr | None = Field(
        None,
        description="Access key of the bucket; without it, the machine's credentials: AWS_ACCESS_KEY_ID and "
        "so on, a web identity, or the instance's role.",
    )
    export_s3_secret_key: SecretStr | None = Field(None, description="Secret of that access key.")
    export_hours: float = Field(
        24.0, gt=0, le=720, description="Hours for which an export's file and download link are valid."
    )
    export_secret: SecretStr | None = Field(
        None,
        description="Secret that signs download links of exports; without it, one is generated and kept in "
        "Redis.",
    )
    public_url: Annotated[str | None, _readable(path_of)] = Field(
        None,
        description="Address under which callers reach the API, such as `https://example.com/videocloud`, "
        "used in links to exports and in its documentation; without it, the request's address.",
    )
    kafka_bootstrap_servers: str | None = Field(
        None,
        description="Kafka brokers, `host:port`, comma-separated, to which the API reports its own requests "
        "as `api.request` events; without them it reports nothing.",
    )
    topic_systems: str = Field("system.events", description="Topic of system events.")
    self_reporting: bool = Field(True, description="Whether the API reports its own requests to Kafka.")
    log_level: LogLevel = "INFO"
