"""`manage.py prepare`: what a first start makes, and what a later one leaves alone."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from django.contrib.auth.hashers import check_password

from tests.isengard.supervisor_fixtures import PROJECT_DIRECTORY


def prepare(data_directory: Path, password: str) -> str:
    """Run the command for real; return what it says."""
    own = {
        "ISENGARD_DATA_DIR": str(data_directory),
        "ISENGARD_ADMIN_PASSWORD": password,
        "REDIS_URL": "",
        "COMFYUI_URL": "",
    }
    foreign = ("DATABASE_URL", "ISENGARD_MODE")
    environment = {name: value for name, value in os.environ.items() if name not in foreign}
    ended = subprocess.run(
        [sys.executable, "manage.py", "prepare"],
        cwd=PROJECT_DIRECTORY,
        env={**environment, **own},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return ended.stdout


def password_hash(data_directory: Path) -> str:
    with closing(sqlite3.connect(data_directory / "isengard.sqlite3")) as database:
        ((kept,),) = database.execute("SELECT password FROM auth_user WHERE username = 'admin' AND is_superuser")
    return str(kept)


def test_a_given_password_is_used_and_never_shown(tmp_path: Path) -> None:
    said = prepare(tmp_path / "data", "speak friend")
    assert said == "Log in to the admin pages as admin with the password in ISENGARD_ADMIN_PASSWORD.\n"
    assert check_password("speak friend", password_hash(tmp_path / "data"))


def test_a_later_start_leaves_the_admin_as_it_is(tmp_path: Path) -> None:
    prepare(tmp_path / "data", "speak friend")
    assert prepare(tmp_path / "data", "another word") == ""
    assert check_password("speak friend", password_hash(tmp_path / "data"))


def test_the_directories_are_there_afterwards(tmp_path: Path) -> None:
    prepare(tmp_path / "data", "speak friend")
    made = {path.name for path in (tmp_path / "data").iterdir() if path.is_dir()}
    assert {"uploads", "loras", "outputs", "samples", "checkpoints", "tmp", "run"} <= made
