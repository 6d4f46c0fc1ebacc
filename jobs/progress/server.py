"""What the server says of itself, for whoever looks after it."""

from dataclasses import dataclass

from jobs.progress.writer import connection


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
