"""A web server alone, on a database of the test's choice: no workers, no Redis."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Self

import requests

from tests.conftest import wait_until
from tests.stack import ROOT, free_port

WAIT_SECONDS = 1.0


class Web:
    """`manage.py prepare` has run when it starts. `log` is what it printed."""

    def __init__(self, data_dir: Path, database_url: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data_dir.parent / "web.log"
        self._environment = os.environ | {
            "ISENGARD_DATA_DIR": str(data_dir),
            "DATABASE_URL": database_url,
            "PORT": str(self.port),
            "ISENGARD_ADMIN_PASSWORD": "a long password",
            "ISENGARD_RATE_LIMITS": "off",
            "ISENGARD_DATABASE_WAIT_SECONDS": str(WAIT_SECONDS),
        }

    def prepare(self) -> Self:
        with self.log.open("ab") as log:
            subprocess.run(
                [sys.executable, "manage.py", "prepare"],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
                check=True,
            )
        return self

    def start(self) -> Self:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "isengard.server"], cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )
        wait_until(self._is_up, seconds=60, what=f"the web server ({self.log})")
        return self

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)

    def _is_up(self) -> bool:
        try:
            return self.ask("GET", "/health").ok
        except (requests.ConnectionError, requests.Timeout):
            return False

    def ask(self, method: str, path: str, **options: object) -> requests.Response:
        return requests.request(method, self.url + path, timeout=60, **options)

    def make_character(self, name: str) -> requests.Response:
        return self.ask("POST", "/api/characters", json={"name": name, "trigger_word": "ann_person"})

    def refuses(self, method: str, path: str, **options: object) -> bool:
        """Whether the answer is the API's 503, in one sentence and with a time to come back at."""
        answer = self.ask(method, path, **options)
        assert answer.status_code == 503, (method, path, answer.status_code, answer.text)
        detail = answer.json()["detail"]
        return "database does not answer" in detail and answer.headers["Retry-After"].isdigit()
