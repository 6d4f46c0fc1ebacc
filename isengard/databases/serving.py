"""How long this process waits for the database."""

from django.db import connections

from isengard.databases.configuration import POSTGRESQL, SQLITE

# A worker has time, but its claim is lost when it cannot renew it for 40 s (`jobs.lease`).
WORKER_SECONDS = 30.0


def serve_with_patience(seconds: float) -> None:
    """Let this process wait for so long at most, each time, for a database that is locked or does not answer.

    For servers and workers, before their first connection. They find a database, or none, and never make one.
    """
    database = connections.settings["default"]
    ours = {SQLITE: {"timeout": seconds, "must_exist": True}, POSTGRESQL: {"answer_seconds": seconds}}
    database["OPTIONS"] |= ours.get(database["ENGINE"], {})
