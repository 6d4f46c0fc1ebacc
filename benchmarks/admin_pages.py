"""How fast the admin's pages are with 10,000 jobs and 1,000 characters: `python -m benchmarks.admin_pages`.

Each is held against a list of Django's own admin, as it comes, of as many jobs in the same database. The two take
turns, so that a machine whose speed drifts tells the same ratio.
"""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator

JOBS, CHARACTERS = 10_000, 1000
ROUNDS = 7
CHUNK = 500


def _prepare(data_dir: str) -> None:
    os.environ.update(ISENGARD_DATA_DIR=data_dir, ISENGARD_ENV_FILE="/dev/null", ISENGARD_LOG_LEVEL="WARNING")
    os.environ.update(DJANGO_SETTINGS_MODULE="isengard.settings", ISENGARD_ADMIN_PASSWORD="of-no-use-here")
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def _fill() -> None:
    from django.contrib.auth.models import User

    # The rows that the test of the numbers of queries makes, and more of them.
    from tests.isengard.test_admin_speed import fill, fill_jobs

    admin = User.objects.create_superuser("admin")
    fill(0, CHARACTERS, admin)
    for first in range(CHARACTERS, JOBS, CHUNK):
        fill_jobs(range(first, min(first + CHUNK, JOBS)))


def _addresses() -> Iterator[str]:
    from tests.isengard.test_admin_speed import pages

    yield from dict.fromkeys(pages())


def _visits() -> tuple[Callable[[str], None], Callable[[], None]]:
    """Return what loads a page of the cockpit, and what loads the stock admin's list of jobs."""
    from django.contrib.admin import AdminSite, ModelAdmin
    from django.contrib.auth.models import User
    from django.test import Client, RequestFactory

    from isengard.cockpit.overview import figures
    from jobs.models import Job

    admin = User.objects.get(username="admin")
    client = Client(headers={"host": "localhost"})
    client.force_login(admin)
    # Named as ours, because its templates look for their addresses there.
    stock = AdminSite(name="admin")
    stock.register(Job, ModelAdmin)
    request = RequestFactory().get("/")
    request.user = admin

    def visit(address: str) -> None:
        # Without what is kept for a minute, so that the slowest visit is told.
        figures.forget()
        assert client.get(address).status_code == 200, address

    def visit_stock() -> None:
        assert stock.get_model_admin(Job).changelist_view(request).render().status_code == 200

    return visit, visit_stock


def _milliseconds(action: Callable[[], None]) -> float:
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1000


def main() -> None:
    data_dir = tempfile.mkdtemp(prefix="isengard-benchmark-")
    try:
        _prepare(data_dir)
        _fill()
        visit, visit_stock = _visits()
        visit_stock()
        for address in _addresses():
            visit(address)
            pairs = [(_milliseconds(lambda: visit(address)), _milliseconds(visit_stock)) for _ in range(ROUNDS)]  # noqa: B023
            mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratio = statistics.median(ours / reference for ours, reference in pairs)
            print(f"{mine:7.1f} ms  {ratio:4.1f} times a stock list ({theirs:.1f} ms)  {address}")
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)


if __name__ == "__main__":
    main()
