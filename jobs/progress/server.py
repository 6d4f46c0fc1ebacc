"""What the server says of itself, for whoever looks after it."""

from dataclasses import dataclass

from django.conf import settings
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,  # noqa: A004 (the one of redis, which is no OSError)
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TimeoutError,  # noqa: A004
)

from jobs.progress.writer import connection

PROBE = f"{settings.REDIS_KEY_PREFIX}probe"
PROBE_MILLISECONDS = 1000
# The first that fits: some are kinds of others.
REASONS: tuple[tuple[type[RedisError], str], ...] = (
    (OutOfMemoryError, "it is full: what it holds has reached its maxmemory"),
    (ReadOnlyError, "it is a replica that takes no writes"),
    (NoPermissionError, "it does not let our user do what we ask"),
    (AuthenticationError, "it does not take our user or password"),
    (BusyLoadingError, "it is still loading its data"),
    (TimeoutError, "it does not answer in time"),
    (ConnectionError, "it cannot be reached"),
)


def trouble() -> str:
    """Say why Redis does not take what we send; "" if it does. A ping alone would not tell: a full one answers it."""
    try:
        connection().set(PROBE, b"", px=PROBE_MILLISECONDS)
    except RedisError as exc:
        found = (words for kind, words in REASONS if isinstance(exc, kind))
        return next(found, f"it refuses writes: {exc}")
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """`version` is the Redis version whose commands it has, also where it is a Valkey. `limit_bytes` 0: no limit."""

    name: str
    version: str
    is_append_only: bool
    eviction_policy: str
    used_bytes: int
    limit_bytes: int


def server_facts() -> ServerFacts:
    """Ask the server. Raises RedisError."""
    # Not CONFIG GET: hosted servers forbid that, and INFO has it all.
    info = connection().info()
    return ServerFacts(
        name=str(info.get("server_name", "redis")).capitalize(),
        version=str(info["redis_version"]),
        is_append_only=bool(info.get("aof_enabled")),
        eviction_policy=str(info.get("maxmemory_policy", "")),
        used_bytes=int(info.get("used_memory", 0)),
        limit_bytes=int(info.get("maxmemory", 0)),
    )
