"""Which checks there are, in the order in which one looks: what comes later stands on what comes before."""

from collections.abc import Iterator

from isengard.doctor import comfyui, database, host, own_files, queueing, trainer
from isengard.doctor.finding import Finding, failed

PARTS = ("training", "generation")


def examine(part: str | None = None) -> Iterator[Finding]:
    """Yield what is found as it is found; with a part, only what that kind of job needs."""
    yield from host.check_settings()
    yield from host.check_data_directory()
    yield from database.check_database()
    yield from queueing.check_redis()
    has_rows = database.has_rows()
    if has_rows:
        yield from queueing.check_maintenance()
    if part in (None, "training"):
        yield from _workers("training", has_rows=has_rows)
        yield from trainer.check_trainer(has_rows=has_rows)
        yield from trainer.check_gpu()
    if part in (None, "generation"):
        yield from _workers("generation", has_rows=has_rows)
        yield from comfyui.check_servers(has_rows=has_rows)
        yield from own_files.check_own_files()


def _workers(kind: str, *, has_rows: bool) -> Iterator[Finding]:
    if has_rows:
        yield from queueing.check_workers(kind)
    else:
        yield failed(f"{kind} worker", "cannot be told without the database", "Mend the database first.")
