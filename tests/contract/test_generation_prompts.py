"""Choices in prompts through the API: asked for, made for each image by its seed, recorded."""

import json
from pathlib import Path

import pytest
from django.test import Client

from jobs.models import Job

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def wildcards(settings, tmp_path: Path) -> Path:
    settings.RATE_LIMITS = "off"
    settings.DATA_DIR = tmp_path
    folder = tmp_path / "wildcards"
    folder.mkdir()
    (folder / "colour.txt").write_text("".join(f"colour {n}\n" for n in range(1000)))
    (folder / "bell.txt").write_text("ding \x07 dong\n")
    (folder / "long.txt").write_text("x" * 3000)
    return folder


def start(api: Client, *, count: int = 1, **config: object) -> object:
    body = {"config": {"seed": 100, "dynamic_prompts": True} | config, "count": count}
    return api.post("/api/generation", json.dumps(body), content_type="application/json")


def prompts(api: Client, *, count: int = 1, **config: object) -> list[str]:
    answer = start(api, count=count, **config)
    assert answer.status_code == 201, answer.json()
    return [texts["prompt"] for texts in Job.objects.get(pk=answer.json()["id"]).order["prompts"]]


def test_braces_stay_braces_unless_choices_are_asked_for(api: Client) -> None:
    assert prompts(api, prompt="{a|b} __nobody__ {", dynamic_prompts=False) == []


def test_each_image_has_its_own_choices(api: Client) -> None:
    assert len(set(prompts(api, prompt="a __colour__ coat", count=8))) == 8


def test_an_image_alone_has_the_choices_that_it_had_among_others(api: Client) -> None:
    among = prompts(api, prompt="a __colour__ coat", count=4)
    assert prompts(api, prompt="a __colour__ coat", seed=102) == among[2:3]


def test_the_config_keeps_the_prompt_as_it_was_sent(api: Client) -> None:
    assert start(api, prompt="a {red|blue} coat").json()["config"]["prompt"] == "a {red|blue} coat"


def test_the_negative_prompt_is_written_out_too_and_follows_no_other(api: Client) -> None:
    start(api, prompt="__colour__", negative_prompt="__colour__", count=8)
    written = Job.objects.get().order["prompts"]
    assert all(texts["negative_prompt"].startswith("colour ") for texts in written)
    assert all(texts["negative_prompt"] != texts["prompt"] for texts in written)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            {"prompt": "a __nobody__ coat"},
            'config.prompt: there is no wildcard "nobody"; there are bell, colour, long.',
        ),
        ({"prompt": "a {red|blue"}, "config.prompt: the { at character 3 is never closed; write \\{ for the character"),
        ({"prompt": "a", "negative_prompt": "__nobody__"}, 'config.negative_prompt: there is no wildcard "nobody"'),
        (
            {"prompt": "__long__"},
            "config.prompt: for image 0, as its choices came out: string should have at most 2000",
        ),
        ({"prompt": "__bell__"}, "config.prompt: for image 0, as its choices came out: must not contain the control"),
        ({"prompt": "{ }"}, "config.prompt: for image 0, as its choices came out: string should have at least 1"),
    ],
)
def test_what_cannot_be_written_out_is_400_and_starts_nothing(api: Client, config: dict, said: str) -> None:
    answer = start(api, **config)
    assert (answer.status_code, Job.objects.count()) == (400, 0)
    assert answer.json()["detail"].startswith(said), answer.json()
