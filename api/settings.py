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
        description="Key with all scopes, valid beside those of `vca keys`. Without one, the API is open to "
        "all who reach it, unless REQUIRE_KEY says otherwise.",
    )
    require_key: bool = Field(
        False, description="Refuse requests without a key also when API_KEY is not set: only `vca keys` open."
    )
    rate_limit: Annotated[str, _readable(parse_limit)] = Field(
        "600/minute",
        description="Requests that each key may make, as `100/second` or `5000/hour`; `none` for no limit.",
    )
    cors_origins: Annotated[str, _readable(parse_origins)] = Field(
        "",
        description="Origins of pages that browsers let ask this API, as `https://dash.example.com`, "
        "comma-separated; `*` for all. Without any, only pages of its own origin.",
    )
    live_streams: int = Field(
        200, ge=1, description="Live streams (server-sent events) that one process sends at once, at most."
    )
    raw_retention_days: int = Field(
        180, ge=3, description="Days that raw events are kept: how old an edge off the quarter hour may be."
    )
    store_patience: float = Field(
        1.0, gt=0, le=60, description="Seconds that a store may be silent before it counts as down."
    )
    query_seconds: float = Field(30.0, gt=0, description="Longest time that one query may take, in seconds.")
    clickhouse_connections: int = Field(20, ge=1, description="Connections to ClickHouse, at most.")
    warm_up: bool = Field(
        True,
        description="Whether each process reads in the background what answers about users need of the days "
        "that are over, after its start and when a day ends, so that no question has to wait for it.",
    )
    known_megabytes: int = Field(
        256,
        ge=0,
        description="Memory, in MB, in which each process keeps who was known before today, of what it reads "
        "in the background, so that answers about users read only what came since. A window of 30 days and a "
        "million users take about 90; what does not fit is asked of ClickHouse each time.",
    )
    redis_connections: int = Field(50, ge=1, description="Connections to Redis, at most.")
    export_dir: str = Field(
        ".run/exports", description="Folder of the files of exports; processes that share the work share it."
    )
    export_s3_url: Annotated[str, AfterValidator(_bucket)] | None = Field(
        None,
        description="Bucket in S3-compatible storage for the files of exports, in place of EXPORT_DIR: "
        "`s3://bucket/prefix`. Needs the extra `s3`.",
    )
    export_s3_endpoint: str | None = Field(
        None, description="Address of storage that is not Amazon's, as `https://minio.example.com:9000`."
    )
    export_s3_public_endpoint: str | None = Field(
        None, description="Address under which callers reach that storage, when it is another one."
    )
    export_s3_region: str = Field("us-east-1", description="Region of the bucket.")
    export_s3_access_key: SecretStr | None = Field(
        None,
        description="Access key of the bucket; without one, what the machine has: AWS_ACCESS_KEY_ID and so "
        "on, a web identity, or the role of the instance.",
    )
    export_s3_secret_key: SecretStr | None = Field(None, description="Secret of that access key.")
    export_hours: float = Field(
        24.0, gt=0, le=720, description="Hours that the file of an export and the link to it are good for."
    )
    export_secret: SecretStr | None = Field(
        None,
        description="What links to exports are signed with; without one, a secret is made and kept in Redis.",
    )
    public_url: Annotated[str | None, _readable(path_of)] = Field(
        None,
        description="Address under which callers reach the API, as `https://example.com/videocloud`, for the "
        "links to exports and of its documentation; without one, that of the request.",
    )
    kafka_bootstrap_servers: str | None = Field(
        None,
        description="Kafka brokers, `host:port`, comma-separated, to which the API reports its own requests "
        "as `api.request` events; without them it reports nothing.",
    )
    topic_systems: str = Field("system.events", description="Topic of system events.")
    self_reporting: bool = Field(True, description="Whether the API reports its own requests to Kafka.")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
