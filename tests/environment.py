"""Loaded before Django's settings are (`-p tests.environment`): a data directory of the tests' own, and no `.env`."""

import atexit
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.postgresql import PostgreSQL

_kept_out = (
    "ISENGARD_",
    "COMFYUI_",
    "AI_TOOLKIT_",
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "ALLOWED_HOSTS",
    "CORS_",
)
for _name in [name for name in os.environ if name.startswith(_kept_out)]:
    if not _name.startswith(("ISENGARD_TEST_", "ISENGARD_FORBID_SKIPS")):
        del os.environ[_name]

DATA_DIR = tempfile.mkdtemp(prefix="isengard-test-")
atexit.register(shutil.rmtree, DATA_DIR, ignore_errors=True)
os.environ["ISENGARD_DATA_DIR"] = DATA_DIR
os.environ["ISENGARD_SIMULATOR_STEP_SECONDS"] = "0.002"
os.environ["ISENGARD_ENV_FILE"] = "/dev/null"

# What a test starts as processes of its own has a database of its own: see `database_of_its_own`.
WANTS_POSTGRESQL = os.environ.get("ISENGARD_TEST_DATABASE") == "postgresql"
_POSTGRESQL_FOLDER = tempfile.mkdtemp(prefix="isengard-pg-", dir="/tmp") if WANTS_POSTGRESQL else ""
_servers: list["PostgreSQL"] = []
if WANTS_POSTGRESQL:
    os.environ["DATABASE_URL"] = f"postgres://isengard@/postgres?host={_POSTGRESQL_FOLDER}"
    atexit.register(shutil.rmtree, _POSTGRESQL_FOLDER, ignore_errors=True)


def pytest_configure(config: pytest.Config) -> None:
    if WANTS_POSTGRESQL:
        # The server is thrown away: nothing has to be removed from it, and no thread that still has a connection to
        # the database of the tests may keep them from ending.
        config.option.reuse_db = True


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the server, unless this process only tells others what to test."""
    is_worker = hasattr(session.config, "workerinput")
    if WANTS_POSTGRESQL and (is_worker or not getattr(session.config.option, "numprocesses", None)):
        # Imported here, because the settings are read from what is above.
        from tests.postgresql import PostgreSQL

        server = PostgreSQL(folder=Path(_POSTGRESQL_FOLDER)).start()
        session.config.add_cleanup(server.stop)
        _servers.append(server)


def database_of_its_own(data_dir: Path) -> dict[str, str]:
    """Return the environment of processes that keep their files in `data_dir`: SQLite is there by itself."""
    if not _servers:
        return {}
    name = f"d{hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]}"
    return {"DATABASE_URL": _servers[0].ensure_database(name)}
