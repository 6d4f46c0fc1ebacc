"""Which ai-toolkit is installed, read off its folder: neither git nor its own interpreter is needed."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

NAME = "ai-toolkit"
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_MAX_FILE_BYTES = 1_000_000
_MAX_VERSION_LENGTH = 50


@dataclass(frozen=True, slots=True)
class Release:
    """`version` and `commit` are empty where the folder does not tell."""

    version: str
    commit: str
    name: str = NAME


def read_release(directory: Path) -> Release:
    """Never raises: a folder that tells nothing is the business of whoever starts the program."""
    return Release(version=_version(directory / "version.py"), commit=_commit(directory / ".git"))


def _version(path: Path) -> str:
    # Read as text: what is in there is the trainer's code, and ours must not run it.
    match = re.search(r"^VERSION\s*=\s*(?P<text>(['\"]).*?\2)\s*(#.*)?$", _text(path), re.MULTILINE)
    try:
        version = ast.literal_eval(match["text"]) if match else ""
    except (SyntaxError, ValueError):
        return ""
    return str(version)[:_MAX_VERSION_LENGTH]


def _commit(dot_git: Path) -> str:
    own = _git_directory(dot_git)
    head = _text(own / "HEAD").strip()
    if not head.startswith("ref:"):
        return head if _COMMIT.fullmatch(head) else ""
    return _resolved(own, head.removeprefix("ref:").strip())


def _git_directory(dot_git: Path) -> Path:
    """Return where HEAD is: in a worktree or submodule `.git` is a file that names the place."""
    named = _text(dot_git) if dot_git.is_file() else ""
    if not named.startswith("gitdir:"):
        return dot_git
    return dot_git.parent / named.removeprefix("gitdir:").strip()


def _resolved(own: Path, reference: str) -> str:
    # A worktree keeps its own HEAD and shares everything else with the directory that `commondir` names.
    shared = own / (_text(own / "commondir").strip() or ".")
    loose = [_text(folder / reference).strip() for folder in (own, shared)]
    found = [*loose, _packed(shared / "packed-refs", reference)]
    return next((commit for commit in found if _COMMIT.fullmatch(commit)), "")


def _packed(path: Path, reference: str) -> str:
    for line in _text(path).splitlines():
        commit, _, name = line.partition(" ")
        if name == reference:
            return commit
    return ""


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE_BYTES).decode("utf-8", errors="replace")
    except (OSError, ValueError):
        return ""
