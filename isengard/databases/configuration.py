"""What `DATABASES` says of the database that was chosen."""

from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

SQLITE = "isengard.databases.sqlite"
POSTGRESQL = "isengard.databases.postgresql"
OURS = {"django.db.backends.sqlite3": SQLITE, "django.db.backends.postgresql": POSTGRESQL}
CONNECTIONS_LIVE_SECONDS = 600
# For commands: migrations and backups have their time, but nobody waits longer than this for another's lock.
SQLITE_LOCK_SECONDS = 30
CONNECT_SECONDS = 10
# A server that is gone without a word is found out after these, and what was sent to it is given up.
KEEPALIVES = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


def configured(chosen: dict[str, Any], *, test_database: Path) -> dict[str, Any]:
    """Return the entry of `DATABASES` for what DATABASE_URL says; its own options go before ours."""
    engine = OURS.get(chosen["ENGINE"])
    if engine is None:
        raise ImproperlyConfigured("DATABASE_URL must begin with sqlite:/// or postgres://; no other database will do.")
    database = {"CONN_MAX_AGE": CONNECTIONS_LIVE_SECONDS, **chosen, "ENGINE": engine}
    given = chosen.get("OPTIONS", {})
    if engine == SQLITE:
        # WAL lets the API read while a worker writes; IMMEDIATE takes the write lock at BEGIN, so that a transaction
        # that reads first never dies with "database is locked"; FULL, because a job that was answered with 201 must
        # survive a power cut.
        ours: dict[str, Any] = {
            "timeout": SQLITE_LOCK_SECONDS,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        }
        # In-memory tables would be shared by threads without WAL, which is not how it runs.
        return database | {"OPTIONS": ours | given, "TEST": {"NAME": str(test_database)}}
    options = {"connect_timeout": CONNECT_SECONDS} | KEEPALIVES | given
    return database | {"OPTIONS": options, "CONN_HEALTH_CHECKS": True}
