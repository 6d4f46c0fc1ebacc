"""Operators' own workflows through the API: told by /info, held against requests, and kept with the job."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client

from characters.models import Character, Lora
from generation import offers
from generation.kind import GenerationKind
from generation.models import WorkflowCopy
from generation.workflow_choice import kept_by
from jobs.models import Job
from tests.contract.test_generation_images import upload
from tests.generation.declaring_server import Declared, declaring_server
from tests.generation.node_declarations import DECLARATIONS
from tests.generation.own_workflow_files import (
    graph,
    graph_from_an_image,
    graph_with_loaders,
    mapping,
    mapping_from_an_image,
    write_workflow,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("patient_questions")]


@pytest.fixture
def folder(settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(offers, "_asked", None)
    settings.RATE_LIMITS = "off"
    settings.DATA_DIR = tmp_path
    settings.MEDIA_ROOT = tmp_path
    return tmp_path / "workflows"


@pytest.fixture
def server(settings, folder: Path) -> Iterator[Declared]:
    with declaring_server() as declared:
        settings.COMFYUI_URLS = [declared.url]
        yield declared


@pytest.fixture
def film(folder: Path, server: Declared) -> Path:
    write_workflow(folder)
    return folder


def told(api: Client, name: str = "film") -> dict:
    return api.get("/info").json()["image_generation"]["workflows"][name]


def post(api: Client, *, count: int = 1, **config: object) -> object:
    body = {"config": {"prompt": "a fox", "workflow": "film"} | config, "count": count}
    return api.post("/api/generation", body, content_type="application/json")


def started(api: Client, **config: object) -> Job:
    answer = post(api, **config)
    assert answer.status_code == 201, answer.content
    return Job.objects.get(pk=answer.json()["id"])


def refused(api: Client, **config: object) -> str:
    answer = post(api, **config)
    assert answer.status_code == 400, answer.content
    assert not Job.objects.exists()
    return answer.json()["detail"]


def lora(key: str = "loras/uploads/one/v1.safetensors", base_model: str = "flux-1-schnell") -> Lora:
    return Lora.objects.create(key=key, name="One", size_bytes=1, sha256="0" * 64, base_model=base_model)


def test_info_tells_what_a_workflow_takes(api: Client, film: Path) -> None:
    assert told(api) == {
        "title": "Film look",
        "description": "Soft colours.",
        "base_model": "flux-schnell",
        "parameters": [*mapping()["inputs"], "lora_id", "lora_strength", "loras"],
        "images": [],
        "max_loras": 8,
        "available": True,
        "missing": [],
    }


def test_without_a_folder_there_are_none(api: Client, server: Declared) -> None:
    assert api.get("/info").json()["image_generation"]["workflows"] == {}


def test_a_node_and_a_file_that_no_server_has_are_named(api: Client, folder: Path, server: Declared) -> None:
    changed = graph()
    changed["10"]["inputs"]["unet_name"] = "mine.safetensors"
    changed["51"] = {"class_type": "Film Grain (mine)", "inputs": {"image": ["50", 0]}}
    changed["60"]["inputs"]["images"] = ["51", 0]
    write_workflow(folder, graph=changed)
    missing = ["mine.safetensors in models/diffusion_models", "the node Film Grain (mine)"]
    assert (told(api)["available"], told(api)["missing"]) == (False, missing)
    reason = told(api)["reason"]
    assert reason == f"The ComfyUI server lacks {', '.join(missing)}."
    assert refused(api) == f"config.workflow: {reason}"


def test_an_example_that_a_request_replaces_is_not_missed(api: Client, folder: Path, server: Declared) -> None:
    write_workflow(folder, graph=graph_with_loaders(), mapping=mapping() | {"loras": ["70", "71"]})
    assert told(api)["available"]
    write_workflow(folder, graph=graph_with_loaders(), mapping=mapping() | {"loras": ["71"]})
    assert told(api)["missing"] == ["the file first.safetensors for LoraLoaderModelOnly.lora_name"]


def test_a_choice_that_the_server_does_not_have_is_named(api: Client, folder: Path, server: Declared) -> None:
    changed = graph()
    changed["40"]["inputs"]["sampler_name"] = "mine"
    write_workflow(folder, graph=changed)
    assert told(api)["missing"] == ["the choice mine of KSampler.sampler_name"]


def test_loras_behind_what_is_no_model_are_told(api: Client, folder: Path, server: Declared) -> None:
    write_workflow(folder, mapping=mapping() | {"loras": {"model": {"node": "11"}}})
    assert told(api)["reason"].endswith(
        "does not fit the ComfyUI server. loras: output 0 of DualCLIPLoader is no MODEL."
    )


def test_a_broken_file_is_told_and_takes_nothing_else_away(api: Client, film: Path) -> None:
    write_workflow(film, "broken", graph={})
    assert told(api, "broken")["available"] is False
    assert "SaveImage" in told(api, "broken")["reason"]
    assert told(api)["available"]
    assert "the files of broken are broken. It must have one node SaveImage" in refused(api, workflow="broken")


def test_while_every_server_is_down_none_is_promised(api: Client, film: Path, settings, nobodys_url: str) -> None:
    settings.COMFYUI_URLS = [nobodys_url]
    assert refused(api) == "config.workflow: The ComfyUI server cannot be reached."


def test_a_workflow_with_new_nodes_is_asked_for_at_once(
    api: Client, film: Path, server: Declared, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told(api)["available"]
    monkeypatch.setitem(DECLARATIONS, "ImageInvert", ({"image": "IMAGE"}, ("IMAGE",)))
    server.nodes.add("ImageInvert")
    changed = graph()
    changed["51"] = {"class_type": "ImageInvert", "inputs": {"image": ["50", 0]}}
    changed["60"]["inputs"]["images"] = ["51", 0]
    write_workflow(film, graph=changed)
    assert told(api)["available"]


@pytest.mark.parametrize("name", ["nobodys", "../film", "film.json"])
def test_an_unknown_workflow_is_refused(api: Client, film: Path, name: str) -> None:
    assert refused(api, workflow=name) == f"config.workflow: there is no workflow {name}."


def test_what_is_left_out_is_as_it_is_in_the_workflow(api: Client, film: Path) -> None:
    job = started(api)
    used = {name: job.config[name] for name in ("negative_prompt", "width", "height", "steps", "guidance_scale")}
    assert used == {"negative_prompt": "blurry", "width": 768, "height": 512, "steps": 6, "guidance_scale": 1.5}
    assert (job.config["model_variant"], job.total_steps) == ("flux-schnell", 6)
    assert job.config["seed"] is not None


def test_what_is_given_goes_before_it(api: Client, film: Path) -> None:
    job = started(api, steps=3, negative_prompt="", seed=5, width=1024)
    used = {name: job.config[name] for name in ("negative_prompt", "width", "height", "steps", "seed")}
    assert used == {"negative_prompt": "", "width": 1024, "height": 512, "steps": 3, "seed": 5}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("denoise", 0.5),
        ("use_upscale", True),
        ("upscale_factor", 2),
        ("control_strength", 0.7),
        ("model_variant", "flux-dev"),
    ],
)
def test_what_the_workflow_does_not_take_is_refused(api: Client, film: Path, name: str, value: object) -> None:
    assert refused(api, **{name: value}) == f"config.{name}: the workflow film does not take it: leave it out."


def test_an_image_that_the_workflow_does_not_take_is_refused(api: Client, film: Path) -> None:
    assert "config.init_image: the workflow film does not take it" in refused(api, init_image=upload(api)["name"])


def test_what_asks_for_nothing_is_no_misuse(api: Client, film: Path) -> None:
    idle = {"use_upscale": False, "use_controlnet": False, "init_image": None, "lora_id": None, "lora_strength": 1.0}
    started(api, **idle, loras=[], model_variant="flux-schnell", dynamic_prompts=True)


def test_loras_that_have_no_place_are_refused(api: Client, folder: Path, server: Declared) -> None:
    one = lora().pk
    write_workflow(folder, mapping={key: value for key, value in mapping().items() if key != "loras"})
    assert refused(api, lora_id=one).startswith("config.lora_id: the workflow film does not take it")
    write_workflow(folder, graph=graph_with_loaders(), mapping=mapping() | {"loras": ["70", "71"]})
    three = [{"lora_id": f"lora-{number}"} for number in range(3)]
    assert refused(api, loras=three) == "config.loras: the workflow film takes at most 2 LoRAs, lora_id included."


def test_a_lora_of_another_model_is_refused_where_the_workflow_says_its_own(api: Client, film: Path) -> None:
    other = lora(base_model="z-image").pk
    assert "was made for Z-Image" in refused(api, lora_id=other)
    write_workflow(film, mapping={key: value for key, value in mapping().items() if key != "base_model"})
    assert started(api, lora_id=other).order["model"] == {"name": None, "family": None}


def test_a_character_s_newest_lora_goes_with_a_workflow(api: Client, film: Path, character: Character) -> None:
    newest = Lora.objects.create(character=character, version=1, key="loras/a/v1.safetensors", name="v1", size_bytes=1)
    assert started(api, lora_id=character.pk).order["loras"][0]["id"] == newest.pk


def test_an_image_that_the_workflow_needs_must_be_given(api: Client, folder: Path, server: Declared) -> None:
    write_workflow(folder, graph=graph_from_an_image(), mapping=mapping_from_an_image())
    assert told(api)["images"] == ["init_image"]
    assert refused(api).startswith("config.init_image: the workflow film needs it: name an uploaded image")
    name = upload(api)["name"]
    job = started(api, init_image=name)
    assert (job.config["init_image"], job.config["denoise"]) == (name, 0.7)
    assert job.order["images"]["init_image"]["name"] == name


def test_a_job_runs_what_the_workflow_was_when_it_was_accepted(api: Client, film: Path) -> None:
    job = started(api)
    before = kept_by(job)
    changed = graph()
    changed["40"]["inputs"]["scheduler"] = "karras"
    write_workflow(film, graph=changed)
    later = started(api)
    assert job.order["workflow"] == {"name": "film", "sha256": before.sha256, "base_model": "flux-schnell"}
    assert kept_by(job) == before
    assert kept_by(later).graph["40"]["inputs"]["scheduler"] == "karras"
    for file in film.iterdir():
        file.unlink()
    assert kept_by(job) == before


def test_jobs_of_the_same_workflow_share_one_copy(api: Client, film: Path) -> None:
    started(api)
    started(api, prompt="a hen")
    assert WorkflowCopy.objects.count() == 1


def test_a_rerun_runs_the_same_workflow_whatever_became_of_its_files(api: Client, film: Path) -> None:
    job = started(api, steps=3)
    write_workflow(film, graph={})
    answer = api.post(f"/api/generation/{job.pk}/rerun", {}, content_type="application/json")
    assert answer.status_code == 201, answer.content
    again = Job.objects.get(pk=answer.json()["id"])
    assert again.order["workflow"] == job.order["workflow"]
    assert again.config == job.config


def test_a_rerun_may_leave_the_workflow(api: Client, film: Path) -> None:
    job = started(api, steps=3)
    body = {"config": {"workflow": None}}
    answer = api.post(f"/api/generation/{job.pk}/rerun", body, content_type="application/json")
    assert answer.status_code == 201, answer.content
    assert "workflow" not in Job.objects.get(pk=answer.json()["id"]).order


def test_jobs_of_a_workflow_stay_with_the_server_that_ran_it(api: Client, film: Path) -> None:
    kind = GenerationKind()
    assert kind.affinity(started(api)) == "workflow:film"
    assert kind.affinity(started(api, workflow=None)) == "flux-dev"


def test_hostile_files_do_not_break_info(api: Client, film: Path) -> None:
    (film / "deep.json").write_bytes(b'{"a": ' + b"[" * 500_000)
    (film / "deep.map.json").write_text("{}")
    (film / "list.json").write_text("[]")
    (film / "list.map.json").write_text(json.dumps({"inputs": {"prompt": {"node": ["x"], "input": {}}}}))
    names = api.get("/info").json()["image_generation"]["workflows"]
    assert {name: each["available"] for name, each in names.items()} == {"deep": False, "film": True, "list": False}
