"""What is accepted as a finished image."""

import io
import threading
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from generation.engines.comfyui.answers import OutputFile
from generation.engines.comfyui.client import Client
from generation.engines.comfyui.errors import DownloadStopped, OutputBroken
from generation.engines.comfyui.outputs import fetch_output
from jobs.errors import EngineFailed
from tests.generation.comfyui_fixtures import answering_server

SIZE = (64, 48)


def _picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise(SIZE, 50).save(buffer, kind)
    return buffer.getvalue()


PNG = _picture("PNG")


def _fetch(body: bytes, target: Path, *, size: tuple[int, int] = SIZE, is_stopped: bool = False) -> None:
    stop = threading.Event()
    if is_stopped:
        stop.set()
    with answering_server(200, body) as url, closing(Client(url)) as client:
        fetch_output(client, OutputFile(filename="a.png"), target, size=size, stop=stop)


def test_a_whole_image_is_kept_under_its_name_alone(tmp_path: Path) -> None:
    _fetch(PNG, tmp_path / "new" / "image.png")
    assert (tmp_path / "new" / "image.png").read_bytes() == PNG
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["image.png"]


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", PNG[: len(PNG) // 2], PNG[:30], _picture("JPEG")],
    ids=str.split("empty html half head jpeg"),
)
def test_anything_but_a_whole_png_is_refused_and_leaves_nothing(body: bytes, tmp_path: Path) -> None:
    with pytest.raises(OutputBroken):
        _fetch(body, tmp_path / "image.png")
    assert list(tmp_path.iterdir()) == []


def test_an_image_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match="64 x 48 pixels instead of 32 x 32"):
        _fetch(PNG, tmp_path / "image.png", size=(32, 32))
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_nobody_wants_any_more_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DownloadStopped):
        _fetch(PNG, tmp_path / "image.png", is_stopped=True)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_cannot_be_written_is_said_to_be_that(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EngineFailed, match="could not be written"):
        _fetch(PNG, tmp_path / "file" / "image.png")
