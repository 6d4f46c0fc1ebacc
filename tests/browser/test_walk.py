"""The main job in a browser: photos in by a file input, progress by EventSource, images out in <img>."""

import pytest

from tests.api_client import photo
from tests.browser.visit import Visit

pytestmark = [pytest.mark.stack, pytest.mark.browser]

TRAINING = {"steps": 100, "sample_every_n_steps": 50, "sample_count": 1, "lora_rank": 4}
PICTURE = {"prompt": "a portrait of ann_person", "width": 640, "height": 512, "steps": 4}


def start(visit: Visit, path: str, body: dict) -> str:
    started = visit.call("POST", path, body=body)
    assert started.status == 201, started
    return started.body["id"]


def test_a_browser_trains_a_lora_with_its_photos_and_shows_images_of_it(visit: Visit) -> None:
    character = visit.make_character()
    visit.upload(character, {"ann.jpg": photo(width=800, height=600)})
    training = start(visit, "/api/training", {"character_id": character, "config": TRAINING})
    told = visit.follow(training).wait_until_closed()
    assert told[0]["name"] == "progress"
    assert (told[-1]["name"], told[-1]["data"]["message"]) == ("complete", "Training complete")
    generation = start(visit, "/api/generation", {"config": PICTURE | {"lora_id": character}, "count": 2})
    assert visit.follow(generation).wait_until_closed()[-1]["data"]["message"] == "Generation complete"
    names = visit.call("GET", f"/api/generation/{generation}").body["output_paths"]
    assert len(names) == 2
    assert [visit.show(f"/api/generation/output/{name}") for name in names] == [(640, 512)] * 2


def test_what_a_file_input_sends_is_kept_or_refused_file_by_file(visit: Visit) -> None:
    character = visit.make_character()
    files = {f"holiday {n}.jpg": photo(n, width=800, height=600) for n in range(3)}
    answer = visit.upload(character, {**files, "notes.txt": b"not a picture"})
    assert (answer.status, answer.body["total_images"]) == (201, 3)
    assert [refused["filename"] for refused in answer.body["rejected"]] == ["notes.txt"]
    shown = [visit.show(f"/api/characters/{character}/images/{name}") for name in answer.body["uploaded"]]
    assert shown == [(600, 800)] * 3
