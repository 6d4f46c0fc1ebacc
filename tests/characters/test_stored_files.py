from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from characters import files


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = str(tmp_path)
    return tmp_path


def everything_below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


class CutOff(BytesIO):
    """Gives one piece, then fails, as a disk or a connection does."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            raise OSError("cut off")
        return super().read(4)


def test_a_published_file_is_whole_and_alone(root: Path) -> None:
    files.publish("uploads/a/b.jpg", BytesIO(b"content"))
    assert everything_below(root) == ["uploads/a/b.jpg"]
    assert (root / "uploads/a/b.jpg").read_bytes() == b"content"


def test_a_published_file_is_not_for_everybody(root: Path) -> None:
    files.publish("a", BytesIO(b"content"))
    assert (root / "a").stat().st_mode & 0o777 == 0o640


def test_a_file_that_is_cut_off_leaves_nothing(root: Path) -> None:
    with pytest.raises(OSError, match="cut off"):
        files.publish("uploads/a/b.jpg", CutOff(b"a long content"))
    assert everything_below(root) == []


def test_discarding_what_is_not_there_is_no_error(root: Path) -> None:
    files.publish("a", BytesIO(b"content"))
    files.discard(["missing", "a"])
    assert everything_below(root) == []


def test_a_folder_that_is_not_empty_stays(root: Path) -> None:
    files.publish("folder/a", BytesIO(b"content"))
    files.discard_folder("folder")
    assert everything_below(root) == ["folder/a"]


def test_clients_know_a_key_below_one_root() -> None:
    assert files.public_path("loras/x/v1.safetensors") == "/data/loras/x/v1.safetensors"
