"""Pictures that say how they were made, and are made again from that, through the API of a running stack."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from tests.api_client import Api
from tests.characters.lora_making import lora_bytes
from tests.stack import Stack

pytestmark = pytest.mark.stack


def drawn(api: Api, job_id: str) -> list[bytes]:
    """Return the files of a generation that is waited for."""
    job = api.wait_for(job_id)
    assert job["status"] == "completed", job
    return [api.call("GET", image["url"]).content for image in job["images"]]


def pixels(content: bytes) -> bytes:
    with Image.open(io.BytesIO(content)) as picture:
        return picture.tobytes()


def rerun(api: Api, job_id: str, **body: object) -> str:
    return api.call("POST", f"/api/generation/{job_id}/rerun", expect=201, json=body).json()["id"]


def test_a_rerun_gives_the_same_pixels_and_a_change_gives_others(api: Api) -> None:
    job = api.generate(count=3)
    first = [pixels(content) for content in drawn(api, job)]
    assert len(set(first)) == 3
    assert [pixels(content) for content in drawn(api, rerun(api, job))] == first
    assert [pixels(content) for content in drawn(api, rerun(api, job, index=1))] == first[1:2]
    changed = rerun(api, job, index=1, config={"prompt": "another portrait"})
    assert [pixels(content) for content in drawn(api, changed)] != first[1:2]


def test_a_picture_can_be_made_again_from_what_it_says(api: Api) -> None:
    job = api.generate(count=2, dynamic_prompts=True, prompt="a {red|blue|green|grey} coat", seed=None)
    contents = drawn(api, job)
    said = json.loads(Image.open(io.BytesIO(contents[1])).text["isengard"])
    again = api.call("POST", "/api/generation", expect=201, json={"config": said["parameters"]}).json()["id"]
    assert [pixels(content) for content in drawn(api, again)] == [pixels(contents[1])]


def test_a_picture_carries_what_made_it_and_nothing_of_the_server(api: Api, stack: Stack) -> None:
    file = ("style.safetensors", lora_bytes(0.375), "application/octet-stream")
    lora = api.call(
        "POST",
        "/api/loras/upload",
        expect=201,
        files={"file": file},
        data={"name": "My style", "trigger_word": "style"},
    ).json()
    job = api.generate(prompt="a grüner Mantel", loras=[{"lora_id": lora["id"], "strength": 0.5}], seed=11)
    (content,) = drawn(api, job)
    texts = Image.open(io.BytesIO(content)).text
    assert set(texts) == {"parameters", "isengard"}
    assert texts["parameters"].startswith("a grüner Mantel\nSteps: 4, ")
    said = json.loads(texts["isengard"])
    assert (said["job_id"], said["seed"], said["loras"][0]["id"]) == (job, 11, lora["id"])
    for trace in (b"class_type", b"inputs", b".safetensors", str(stack.data_dir).encode(), b"127.0.0.1"):
        assert trace not in content


def test_the_list_of_images_tells_the_truth_about_the_files(api: Api, stack: Stack) -> None:
    folder = Path(stack.data_dir, "wildcards")
    folder.mkdir(exist_ok=True)
    (folder / "hue.txt").write_text("teal\npink\n")
    job = api.wait_for(api.generate(count=2, prompt="a __hue__ coat", dynamic_prompts=True, seed=5))
    for image in job["images"]:
        content = api.call("GET", image["url"]).content
        size = (image["width"], image["height"])
        assert (Image.open(io.BytesIO(content)).size, len(content)) == (size, image["size_bytes"])
        said = json.loads(Image.open(io.BytesIO(content)).text["isengard"])
        assert (said["prompt"], said["seed"]) == (image["prompt"], image["seed"])
        assert image["prompt"] in ("a teal coat", "a pink coat")
        assert image["seconds"] > 0
        thumbnail = api.call("GET", image["thumbnail_url"])
        assert max(Image.open(io.BytesIO(thumbnail.content)).size) == 320
