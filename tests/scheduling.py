"""Which tests go to the same worker of pytest-xdist, and which are begun first."""

from pathlib import PurePosixPath
from typing import Any

import pytest

# Each of its files would start an Isengard and a Chromium of its own again.
TOGETHER = "tests/browser"
# Half a minute and more in a few tests. Otherwise the files with the most tests come first, and these last, where the
# other workers would have nothing left to do meanwhile.
LONG = (
    "tests/databases/test_api_on_postgresql.py",
    "tests/databases/test_queue_on_postgresql.py",
    "tests/faults/test_chaos.py",
    "tests/isengard/test_make_run.py",
    "tests/faults/test_database_faults.py",
    "tests/isengard/test_restore.py",
    "tests/e2e/test_one_gpu.py",
    "tests/faults/test_redis_gone.py",
    "tests/faults/test_two_servers.py",
    "tests/faults/test_full_disk.py",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadFileScheduling

    class LongOnesFirst(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return TOGETHER if PurePosixPath(TOGETHER) in PurePosixPath(file).parents else file

        def _assign_work_unit(self, node: Any) -> None:
            waiting = next((file for file in LONG if file in self.workqueue), None)
            if waiting:
                self.workqueue.move_to_end(waiting, last=False)
            super()._assign_work_unit(node)

    return LongOnesFirst(config, log)
