"""An operator's own workflow, from the file in the data directory to the picture."""

import io
import json

import pytest
from PIL import Image

from tests.api_client import Api
from tests.characters.lora_making import lora_bytes
from tests.conftest import wait_until
from tests.generation.own_workflow_files import graph, mapping, write_workflow
from tests.stack import Stack

pytestmark = pytest.mark.stack


def _picture(api: Api, job_id: str) -> Image.Image:
    job = api.wait_for(job_id)
    assert job["status"] == "completed", job
    picture = Image.open(io.BytesIO(api.call("GET", f"/api/outputs/{job['output_paths'][0]}").content))
    picture.load()
    return picture


def _ask(api: Api, **config: object) -> Image.Image:
    body = {"config": {"prompt": "a fox", "workflow": "film", "seed": 11} | config}
    return _picture(api, api.call("POST", "/api/generation", expect=201, json=body).json()["id"])


def test_an_operators_workflow_makes_the_picture_and_follows_the_request(api: Api, stack: Stack) -> None:
    write_workflow(stack.data_dir / "workflows")
    # A ComfyUI that is slow to say what it has is asked again later.
    wait_until(lambda: api.get("/info")["image_generation"]["workflows"]["film"]["available"], what="the workflow")
    plain = _ask(api)
    assert plain.size == (768, 512)
    assert json.loads(plain.text["isengard"])["workflow"]["name"] == "film"
    assert "Workflow: film" in plain.text["parameters"]
    assert _ask(api).tobytes() == plain.tobytes()
    assert _ask(api, width=512).size == (512, 512)
    for change in ({"prompt": "a hen"}, {"seed": 12}, {"steps": 2}, {"negative_prompt": "grain"}):
        assert _ask(api, **change).tobytes() != plain.tobytes(), change


def test_a_lora_acts_in_an_operators_workflow(api: Api, stack: Stack) -> None:
    write_workflow(stack.data_dir / "workflows")
    file = {"file": ("one.safetensors", lora_bytes(0.3), "application/octet-stream")}
    lora = api.call("POST", "/api/loras/upload", expect=201, files=file, data={"name": "One"}).json()["id"]
    plain = _ask(api)
    assert _ask(api, lora_id=lora).tobytes() != plain.tobytes()
    assert _ask(api, lora_id=lora, lora_strength=0.0).tobytes() == plain.tobytes()


def test_a_rerun_makes_the_same_picture_after_the_file_was_changed(api: Api, stack: Stack) -> None:
    folder = stack.data_dir / "workflows"
    write_workflow(folder, "other")
    body = {"config": {"prompt": "a fox", "workflow": "other", "seed": 21}}
    job = api.call("POST", "/api/generation", expect=201, json=body).json()["id"]
    before = _picture(api, job)
    changed = graph()
    changed["40"]["inputs"]["scheduler"] = "karras"
    write_workflow(folder, "other", graph=changed, mapping=mapping() | {"title": "Changed"})
    again = api.call("POST", f"/api/generation/{job}/rerun", expect=201, json={}).json()["id"]
    assert _picture(api, again).tobytes() == before.tobytes()
