"""Which tests go to the same worker of pytest-xdist: those of a file, and all that share one browser and its stack."""

from pathlib import PurePosixPath
from typing import Any

import pytest

# Each of its files would start an Isengard and a Chromium of its own again.
TOGETHER = "tests/browser"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadFileScheduling

    class BySharedStack(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return TOGETHER if PurePosixPath(TOGETHER) in PurePosixPath(file).parents else file

    return BySharedStack(config, log)
