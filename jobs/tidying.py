"""What is cleaned up without being asked: what dead attempts left, and the jobs that the settings keep no longer."""

import logging
import threading
from collections.abc import Iterable
from datetime import timedelta
from itertools import islice

from django.db import DatabaseError, connection
from django.utils import timezone

from jobs import leftovers, retention
from jobs.leftovers import Leftover
from jobs.surprises import tell_once

logger = logging.getLogger(__name__)

# Each machine looks after its own disk, which may be no other machine's.
MACHINE_SECONDS = 60.0
HALF_WRITTEN_AFTER = timedelta(hours=1)
# Far more than the moments between a file and its row, on any clock that a file server may have.
ORPHANED_AFTER = timedelta(hours=24)
# The rest goes next time: the same worker finds dead workers too.
EXPIRED_AT_ONCE = 500


def keep_machine_tidy(stop: threading.Event) -> None:
    """Run until `stop` is set, in a thread of a worker."""
    while True:
        try:
            tidy_machine()
        except (DatabaseError, OSError) as exc:
            logger.warning("Could not tidy up: %s", exc)
        except Exception as exc:
            tell_once(logger, "Tidying up this machine", exc)
        finally:
            connection.close()
        if stop.wait(MACHINE_SECONDS):
            return


def tidy_machine() -> None:
    """Remove the workspaces of ended jobs, and uploads whose request is over."""
    _remove(leftovers.idle_workspaces(unknown_before=None))
    _remove(leftovers.abandoned_uploads(before=timezone.now() - HALF_WRITTEN_AFTER))


def tidy_storage() -> None:
    """Remove what dead attempts stored and nobody names."""
    now = timezone.now()
    found = leftovers.find_safe_leftovers(before=now - ORPHANED_AFTER, half_written_before=now - HALF_WRITTEN_AFTER)
    _remove(found)


def expire_jobs() -> None:
    """Delete the jobs that the settings keep no longer, some at a time."""
    for rule in retention.rules_of_settings():
        expired = sum(retention.expire(job_id) for job_id in islice(retention.find_expired(rule), EXPIRED_AT_ONCE))
        if expired:
            logger.info("%d ended jobs of the kind %s were kept for long enough and are deleted", expired, rule.kind)


def _remove(found: Iterable[Leftover]) -> None:
    for leftover in found:
        try:
            leftover.remove()
        except FileNotFoundError:
            # Somebody else was faster.
            continue
        except OSError as exc:
            logger.warning("%s could not be removed: %s", leftover.name, exc)
        else:
            logger.info("Removed %s: %s", leftover.name, leftover.why)
