"""Presets of generations: ours and the operator's, filled in where a request leaves something out."""

import json
from pathlib import Path

import pytest
from django.test import Client

from generation.params import VARIANTS, GenerationParams
from generation.presets import BUILT_IN
from jobs.models import Job

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folder(settings, tmp_path: Path) -> Path:
    settings.RATE_LIMITS = "off"
    settings.DATA_DIR = tmp_path
    (tmp_path / "presets").mkdir()
    return tmp_path / "presets"


def write(folder: Path, name: str, **content: object) -> None:
    (folder / f"{name}.json").write_text(json.dumps(content))


def post(api: Client, preset_name: object, **config: object) -> object:
    body = {"config": {"prompt": "a fox"} | config, "preset_name": preset_name}
    return api.post("/api/generation", body, content_type="application/json")


def config_of(api: Client, preset_name: object, **config: object) -> dict:
    answer = post(api, preset_name, **config)
    assert answer.status_code == 201, answer.content
    return answer.json()["config"]


def told(api: Client) -> dict:
    return api.get("/info").json()["image_generation"]["presets"]


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("model", VARIANTS)
def test_each_of_ours_can_be_asked_for_with_each_model(name: str, model: str) -> None:
    GenerationParams.model_validate(BUILT_IN[name].filled({"prompt": "a fox", "model_variant": model}))


def test_a_preset_fills_in_what_is_left_out(api: Client) -> None:
    config = config_of(api, "draft")
    assert (config["width"], config["height"], config["steps"]) == (768, 768, 12)


def test_what_a_request_gives_goes_before_the_preset(api: Client) -> None:
    config = config_of(api, "draft", width=1024, steps=7)
    assert (config["width"], config["height"], config["steps"]) == (1024, 768, 7)


def test_a_preset_is_other_for_another_model(api: Client) -> None:
    assert config_of(api, "draft", model_variant="flux-schnell")["steps"] == 4


def test_the_name_is_kept_and_null_where_none_was_given(api: Client) -> None:
    job = post(api, "portrait").json()
    assert job["preset_name"] == "portrait"
    assert api.get(f"/api/generation/{job['id']}").json()["preset_name"] == "portrait"
    assert post(api, None).json()["preset_name"] is None


def test_an_unknown_preset_is_refused_with_those_that_there_are(api: Client) -> None:
    answer = post(api, "huge")
    assert answer.status_code == 400
    assert answer.json()["detail"] == "preset_name: must be one of draft, portrait, landscape, quality."
    assert not Job.objects.exists()


@pytest.mark.parametrize("preset_name", [7, True, ["draft"], {"draft": 1}])
def test_a_preset_name_that_is_no_text_is_refused(api: Client, preset_name: object) -> None:
    answer = post(api, preset_name)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("preset_name: ")


def test_a_wrong_value_beside_a_preset_is_still_refused(api: Client) -> None:
    assert post(api, "draft", steps=0).json()["detail"].startswith("config.steps: ")
    answer = api.post("/api/generation", {"config": [], "preset_name": "draft"}, content_type="application/json")
    assert answer.json()["detail"].startswith("config: ")


def test_the_operator_s_are_offered_beside_ours(api: Client, folder: Path) -> None:
    write(folder, "film", title="Film", config={"steps": 9}, models={"sdxl": {"guidance_scale": 5.0}})
    assert told(api)["film"] == {
        "title": "Film",
        "description": "",
        "config": {"steps": 9},
        "models": {"sdxl": {"guidance_scale": 5.0}},
        "available": True,
    }
    assert set(BUILT_IN) < set(told(api))
    assert config_of(api, "film")["steps"] == 9


def test_one_of_the_operator_s_goes_before_ours_of_the_same_name(api: Client, folder: Path) -> None:
    write(folder, "draft", config={"steps": 5})
    assert config_of(api, "draft")["steps"] == 5


def test_a_preset_may_say_the_model(api: Client, folder: Path) -> None:
    write(
        folder,
        "fast",
        config={"model_variant": "flux-schnell"},
        models={"flux-schnell": {"steps": 3}, "flux-dev": {"steps": 30}},
    )
    assert config_of(api, "fast")["steps"] == 3
    assert config_of(api, "fast", model_variant="flux-dev")["steps"] == 30


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"config": {"steps": 0}}, "steps: Input should be greater than or equal to 1."),
        ({"config": {"stepz": 5}}, "stepz: there is no such key."),
        ({"models": {"flux-dev": {"steps": 1000}}}, "steps: "),
        ({"models": {"flux-pro": {}}}, "must be one of flux-dev"),
        ({"steps": 5}, "steps: there is no such key."),
        ([], "must be a JSON object"),
    ],
)
def test_a_broken_preset_is_told_and_refused(api: Client, folder: Path, content: object, words: str) -> None:
    (folder / "mine.json").write_text(json.dumps(content))
    found = told(api)["mine"]
    assert found["available"] is False
    assert words in found["reason"]
    answer = post(api, "mine")
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("preset_name: the file of mine is broken. ")
    assert told(api)["draft"]["available"]
