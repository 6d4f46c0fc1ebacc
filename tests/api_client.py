"""Isengard's API as a client's program uses it."""

import io
import json
from dataclasses import dataclass

import requests
from PIL import Image

from tests.conftest import wait_until
from tests.sse import EventStream, open_stream

# Of the silence between two pieces of an answer: longer than a machine stands still.
TIMEOUT_SECONDS = 60
ENDED = ("completed", "failed", "cancelled")
ORIENTATION, GPS = 0x0112, 0x8825


def photo(number: int = 0, *, width: int = 3000, height: int = 2000) -> bytes:
    """Return a JPEG as a phone makes it: six megapixels, lying on its side, with the place it was taken at."""
    shade = Image.linear_gradient("L").resize((width, height))
    upside_down = shade.transpose(Image.Transpose.ROTATE_180)
    picture = Image.merge("RGB", (shade, upside_down, Image.new("L", shade.size, number)))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif.get_ifd(GPS)[2] = (52.0, 31.0, 12.0)
    content = io.BytesIO()
    picture.save(content, "JPEG", exif=exif)
    return content.getvalue()


@dataclass
class Api:
    url: str

    def call(self, method: str, path: str, *, expect: int = 200, **options: object) -> requests.Response:
        answer = requests.request(method, self.url + path, timeout=TIMEOUT_SECONDS, **options)
        assert answer.status_code == expect, (method, path, answer.status_code, answer.text)
        return answer

    def get(self, path: str) -> dict:
        return self.call("GET", path).json()

    def make_character(self, *, photos: int = 1) -> str:
        body = {"name": "Ann", "trigger_word": "ann_person"}
        character = self.call("POST", "/api/characters", expect=201, json=body).json()["id"]
        files = [("files", (f"{n}.jpg", photo(n, width=800, height=600), "image/jpeg")) for n in range(photos)]
        self.call("POST", f"/api/characters/{character}/images", expect=201, files=files)
        return character

    def train(self, character: str, **config: object) -> str:
        config = {"steps": 100, "sample_every_n_steps": 1000, "sample_count": 1} | config
        body = {"character_id": character, "config": config}
        return self.call("POST", "/api/training", expect=201, json=body).json()["id"]

    def generate(self, *, count: int = 1, **config: object) -> str:
        config = {"prompt": "a portrait", "width": 512, "height": 512, "steps": 4} | config
        return self.call("POST", "/api/generation", expect=201, json={"config": config, "count": count}).json()["id"]

    def job(self, job_id: str) -> dict:
        kind = "training" if job_id.startswith("train-") else "generation"
        return self.get(f"/api/{kind}/{job_id}")

    def cancel(self, job_id: str) -> dict:
        kind = "training" if job_id.startswith("train-") else "generation"
        return self.call("POST", f"/api/{kind}/{job_id}/cancel").json()

    def stream(self, job_id: str, **options: object) -> EventStream:
        return open_stream(f"{self.url}/api/jobs/{job_id}/stream", **options)

    def whole_log(self, job_id: str) -> list[dict]:
        """Return the lines of a completed job's log. Its run writes the last of them a moment after its end is told."""

        def written() -> list[dict] | None:
            lines = [json.loads(line) for line in self.call("GET", f"/api/jobs/{job_id}/logs").text.splitlines()]
            return lines if any(line["event"] == "job.completed" for line in lines) else None

        return wait_until(written, what=f"the end of the log of {job_id}")

    def wait_for(self, job_id: str, *states: str, seconds: float = 120) -> dict:
        def reached() -> dict | None:
            job = self.job(job_id)
            return job if job["status"] in (states or ENDED) else None

        return wait_until(reached, seconds=seconds, what=f"{job_id} {states or ENDED}")
