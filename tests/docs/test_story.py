"""The README's story, run as it is typed against a private `make run`."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.docs.pages import PROJECT, README, bash_blocks, section
from tests.isengard.supervisor_fixtures import SupervisorRun
from tests.stack import free_port

# The longer time is for a busy machine.
pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

FIRST_LINE = "ISENGARD=http://127.0.0.1:8000"
STORY_SECONDS = 300


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The port of a private run of everything."""
    port = free_port()
    environment = {
        "ISENGARD_DATA_DIR": str(tmp_path / "data"),
        "ISENGARD_ENV_FILE": "/dev/null",
        "ISENGARD_SIMULATOR_STEP_SECONDS": "0.005",
        "PORT": str(port),
    }
    run = SupervisorRun([sys.executable, "-m", "isengard.supervisor"], tmp_path / "log", environment)
    try:
        run.wait_for_line("Isengard is ready at", within_seconds=120)
        yield port
        run.stop()
    finally:
        run.destroy()


def test_the_story_in_the_readme_works_as_it_is_typed(port: int, tmp_path: Path) -> None:
    story = bash_blocks(section(README, "The story"))
    assert story.startswith(f"{FIRST_LINE}\n")
    told = _tell(story.replace(FIRST_LINE, f"ISENGARD=http://127.0.0.1:{port}", 1), tmp_path)
    assert "event: complete" in told
    assert "/v1.safetensors" in told
    assert '"message":"Generation complete"' in told
    pictures = [Image.open(path) for path in sorted((tmp_path / "work").glob("**/*.png"))]
    assert [(picture.format, picture.size) for picture in pictures] == [("PNG", (512, 512))] * 2
    assert pictures[0].tobytes() != pictures[1].tobytes()


def _tell(story: str, tmp_path: Path) -> str:
    (tmp_path / "work").mkdir()
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", story],
        cwd=PROJECT,
        # Where `mktemp -d` makes its folder.
        env={"PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin", "TMPDIR": str(tmp_path / "work")},
        capture_output=True,
        text=True,
        timeout=STORY_SECONDS,
        check=False,
    )
    assert result.returncode == 0, result.stderr + result.stdout[-2000:]
    return result.stdout
