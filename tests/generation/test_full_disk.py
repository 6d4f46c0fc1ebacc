"""The worker's disk is full: the person who asked for the image is told so, and nothing is tried again for it."""

import errno
import os
from pathlib import Path

import pytest

from generation.engines.comfyui.config_file import write_config
from jobs.errors import EngineFailed


@pytest.mark.parametrize(
    ("number", "words", "is_tried_again"),
    [
        (errno.ENOSPC, "The disk is full: free", False),
        (errno.EDQUOT, "The disk is full: free", False),
        (errno.EIO, "The graph could not be written: Input/output error", True),
    ],
)
def test_a_full_disk_is_told_from_other_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str, is_tried_again: bool
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(EngineFailed, match=words) as told:
        write_config({}, tmp_path)
    assert told.value.is_retryable is is_tried_again
    assert told.value.cause == ("" if is_tried_again else "disk_full")
