"""What the queue promises, it promises on PostgreSQL too: the tests of its parts again."""

import pytest

from tests.databases.rerun import pass_on_postgresql


@pytest.mark.timeout(1600)
def test_the_queue_keeps_its_promises_on_postgresql() -> None:
    pass_on_postgresql(
        "jobs/test_state_machine.py",
        "jobs/test_claiming.py",
        "jobs/test_runner.py",
        "jobs/test_reaper.py",
        "jobs/test_retry.py",
        "jobs/test_slots.py",
        "jobs/test_windows.py",
        "jobs/test_instructions.py",
        "jobs/test_idempotency.py",
        "jobs/test_losses.py",
        "jobs/test_logs_view.py",
        "jobs/test_waiting.py",
        "jobs/test_database_away.py",
        "jobs/test_missed_events.py",
        "jobs/test_cleanup.py",
        "jobs/test_attempts.py",
        "jobs/test_deadlines.py",
        "jobs/test_draining.py",
        "jobs/test_ordering.py",
        "jobs/test_poison_jobs.py",
        "jobs/test_retention.py",
        "jobs/test_tidying.py",
        "jobs/test_disk_room.py",
        "jobs/test_told_from_the_row.py",
    )
