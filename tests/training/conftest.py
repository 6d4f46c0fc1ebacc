"""What the tests of trainings share."""

from pathlib import Path

import pytest

from training.engines.aitoolkit import memory_kills


@pytest.fixture
def no_memory_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that this machine kills for memory meanwhile is taken for the trainer."""
    monkeypatch.setattr(memory_kills, "PROC", tmp_path / "no-proc")
    monkeypatch.setattr(memory_kills, "CGROUPS", tmp_path / "no-cgroups")
