"""Which ai-toolkit is installed, read off folders as Git leaves them."""

from pathlib import Path

import pytest

from tests.training.aitoolkit_fixtures import STAND_IN
from training.engines.aitoolkit.release import Release, read_release
from training.engines.simulator.trainer.checkpoints import SOFTWARE

COMMIT, OTHER = "27a03a91" + "0" * 32, "1" * 40


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('VERSION = "0.12.26"\n', "0.12.26"),
        ("# of the program\nVERSION='1.0' # newest\n", "1.0"),
        ("import os\nVERSION = os.environ['X']\n", ""),
        ("", ""),
    ],
)
def test_the_version_is_read_and_not_run(text: str, version: str, tmp_path: Path) -> None:
    written(tmp_path / "version.py", text)
    assert read_release(tmp_path).version == version


def test_a_detached_head_is_the_commit(tmp_path: Path) -> None:
    written(tmp_path / ".git" / "HEAD", f"{COMMIT}\n")
    assert read_release(tmp_path).commit == COMMIT


def test_a_branch_is_followed_to_its_commit(tmp_path: Path) -> None:
    written(tmp_path / ".git" / "HEAD", "ref: refs/heads/main\n")
    written(tmp_path / ".git" / "packed-refs", f"# pack-refs with: peeled\n{OTHER} refs/heads/mainline\n")
    assert read_release(tmp_path).commit == ""
    written(tmp_path / ".git" / "packed-refs", f"{OTHER} refs/tags/v1\n^{OTHER}\n{COMMIT} refs/heads/main\n")
    assert read_release(tmp_path).commit == COMMIT
    written(tmp_path / ".git" / "refs" / "heads" / "main", f"{OTHER}\n")
    assert read_release(tmp_path).commit == OTHER


def test_a_worktree_shares_its_branches_with_the_main_checkout(tmp_path: Path) -> None:
    main = tmp_path / "main" / ".git"
    written(main / "HEAD", "ref: refs/heads/main\n")
    written(main / "worktrees" / "wt" / "HEAD", "ref: refs/heads/side\n")
    written(main / "worktrees" / "wt" / "commondir", "../..\n")
    written(main / "refs" / "heads" / "side", f"{COMMIT}\n")
    written(tmp_path / "wt" / ".git", f"gitdir: {main}/worktrees/wt\n")
    assert read_release(tmp_path / "wt").commit == COMMIT
    written(tmp_path / "wt" / ".git", "gitdir: ../main/.git/worktrees/wt\n")
    assert read_release(tmp_path / "wt").commit == COMMIT


@pytest.mark.parametrize("head", ["", "ref: ", "ref: refs/heads/gone", "ref: ../../../etc/passwd", "deadbeef", "\0"])
def test_a_head_that_names_no_commit_tells_nothing(head: str, tmp_path: Path) -> None:
    written(tmp_path / ".git" / "HEAD", head)
    assert read_release(tmp_path) == Release(version="", commit="")


def test_a_folder_that_is_not_there_tells_nothing(tmp_path: Path) -> None:
    assert read_release(tmp_path / "gone") == Release(version="", commit="")


def test_the_stand_in_says_what_it_is() -> None:
    assert read_release(STAND_IN) == Release(version=SOFTWARE["version"], commit="")
    assert "simulator" in SOFTWARE["version"]
