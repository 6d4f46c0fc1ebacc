"""The main job, end to end: a character's photos in, a LoRA and images of it out."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from tests.api_client import Api, photo
from tests.stack import Stack

pytestmark = pytest.mark.stack


def test_photos_become_a_lora_and_a_lora_becomes_images(api: Api, stack: Stack) -> None:
    character = _character_with_photos(api)
    # Held until the stream is open: later it would tell less of the way.
    with stack.held("celery", "worker", "training@"):
        training = api.train(
            character, steps=200, sample_every_n_steps=50, checkpoint_every_n_steps=100, lora_rank=8, sample_count=2
        )
        stream = api.stream(training)
        told = iter(stream)
        events = [next(told)]
    with stream:
        events += told
    job = api.job(training)
    assert (job["status"], job["progress"], job["current_step"]) == ("completed", 100, 200)
    _check_training_events(events)
    _check_lora(api, stack, character, job)
    _check_log(api, training)
    _check_generation(api, character)


def _character_with_photos(api: Api) -> str:
    body = {"name": "John Smith", "trigger_word": "johnsmith_person", "description": None}
    character = api.call("POST", "/api/characters", expect=201, json=body).json()["id"]
    files = [("files", (f"holiday {n}.jpg", photo(n), "image/jpeg")) for n in range(3)]
    files.append(("files", ("notes.txt", b"not a picture", "image/jpeg")))
    upload = api.call("POST", f"/api/characters/{character}/images", expect=201, files=files).json()
    assert upload["total_images"] == 3
    assert upload["rejected"] == [{"filename": "notes.txt", "reason": "Invalid image type"}]
    served = api.call("GET", f"/api/characters/{character}/images/{upload['uploaded'][0]}")
    with Image.open(io.BytesIO(served.content)) as upright:
        assert (upright.width, upright.height) == (2000, 3000)
        assert not upright.getexif()
    return character


def _follow(api: Api, job: str) -> list:
    with api.stream(job) as stream:
        return list(stream)


def _check_training_events(events: list) -> None:
    assert events[0].event == "progress"
    assert [event.event for event in events].count("complete") == 1
    assert (events[-1].event, events[-1].data["message"]) == ("complete", "Training complete")
    steps = [event.data["current_step"] for event in events]
    assert steps == sorted(steps)
    stages = [event.data["stage"] for event in events]
    assert "training" in stages
    told = [artifact["name"] for event in events for artifact in event.data.get("artifacts", [])]
    assert len(told) == len(set(told))
    assert {"step_00050.png", "step_00050_1.png", "step_00200.png"} <= set(told)
    losses = [event.data["loss"] for event in events if "loss" in event.data]
    assert losses


def _check_lora(api: Api, stack: Stack, character: str, job: dict) -> None:
    assert job["output_path"] == f"/data/loras/{character}/v1.safetensors"
    shown = api.get(f"/api/characters/{character}")
    assert (shown["lora_path"], shown["image_count"]) == (job["output_path"], 3)
    assert shown["lora_trained_at"]
    file = stack.data_dir / Path(job["output_path"]).relative_to("/data")
    content = file.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header["__metadata__"]["training_info"])["step"] == 200
    ranks = {tensor["shape"][0] for name, tensor in header.items() if name.endswith("lora_A.weight")}
    assert ranks == {8}


def _check_log(api: Api, job: str) -> None:
    lines = api.whole_log(job)
    log = api.call("GET", f"/api/jobs/{job}/logs")
    assert log.headers["Content-Type"].startswith("text/plain")
    assert lines[0]["event"] == "job.accepted"
    assert any("Saved checkpoint" in line["message"] for line in lines)


def _check_generation(api: Api, character: str) -> None:
    prompt = "a portrait of johnsmith_person"
    generation = api.generate(prompt=prompt, lora_id=character, count=2, seed=5, width=640)
    events = _follow(api, generation)
    assert events[-1].data["message"] == "Generation complete"
    job = api.job(generation)
    assert job["output_paths"] == [f"{generation}-0.png", f"{generation}-1.png"]
    assert job["seeds"] == [5, 6]
    pictures = [api.call("GET", f"/api/generation/output/{name}") for name in job["output_paths"]]
    for answer in pictures:
        assert answer.headers["Content-Type"] == "image/png"
        with Image.open(io.BytesIO(answer.content)) as picture:
            assert (picture.format, picture.size) == ("PNG", (640, 512))
    assert pictures[0].content != pictures[1].content


def test_the_second_training_of_a_character_makes_version_two(api: Api) -> None:
    character = api.make_character()
    jobs = [api.wait_for(api.train(character)) for _ in range(2)]
    assert [job["output_path"].rsplit("/", 1)[1] for job in jobs] == ["v1.safetensors", "v2.safetensors"]
    assert api.get(f"/api/characters/{character}")["lora_path"] == jobs[1]["output_path"]


def test_the_same_seed_makes_the_same_picture_and_the_lora_changes_it(api: Api) -> None:
    character = api.make_character()
    api.wait_for(api.train(character))

    def pixels(**config: object) -> bytes:
        job = api.wait_for(api.generate(seed=11, **config))
        answer = api.call("GET", f"/api/outputs/{job['output_paths'][0]}")
        with Image.open(io.BytesIO(answer.content)) as picture:
            return picture.tobytes()

    plain = pixels()
    assert plain == pixels()
    assert plain != pixels(lora_id=character)
