"""Each parameter of a generation refuses what does not belong there."""

import pytest
from django.test import Client

from generation.params import GenerationParams
from jobs.models import Job

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_limits(settings) -> None:
    settings.RATE_LIMITS = "off"


def start(api: Client, **config: object) -> object:
    body = {"config": {"prompt": "a portrait"} | config}
    return api.post("/api/generation", body, content_type="application/json")


BAD_CONFIG = [
    ("prompt", ["", " ", None, 5, [], "x" * 2001, "bell\u0007"]),
    ("dynamic_prompts", [1, "true", None, []]),
    ("negative_prompt", [None, 5, [], "x" * 1001, "bell\u0007"]),
    ("width", [511, 2049, None, True, "512", 512.5, [], {}]),
    ("height", [511, 2049, None, True, "512", 512.5, [], {}]),
    ("steps", [0, 101, None, True, "20", 1.5, []]),
    ("guidance_scale", [0.9, 20.1, None, True, "3", [], {}]),
    ("seed", [-1, 2**53, True, "7", 1.5, []]),
    ("lora_id", [5, True, [], {}, "x" * 201]),
    ("lora_strength", [-0.1, 2.1, None, True, "1", []]),
    ("loras", [None, "lora-1", {}, ["lora-1"], [{}], [{"lora_id": "a", "strength": 2.1}], [{"lora_id": "a"}] * 9]),
    ("init_image", [5, True, [], {}, "x" * 201, "bell\u0007"]),
    ("denoise", [0.04, 1.1, None, True, "1", []]),
    ("use_controlnet", [1, "true", None, []]),
    ("control_image", [5, True, [], {}, "x" * 201]),
    ("control_type", ["lines", "", None, 1]),
    ("control_preprocess", [1, "true", None, []]),
    ("control_strength", [-0.1, 2.1, None, True, "1"]),
    ("control_start", [-0.1, 1.1, None, True, "1"]),
    ("control_end", [-0.1, 1.1, None, True, "1"]),
    ("use_ipadapter", [1, "true", None, []]),
    ("reference_image", [5, True, [], {}, "x" * 201]),
    ("reference_strength", [-0.1, 2.1, None, True, "1"]),
    ("use_facedetailer", [1, "true", None, []]),
    ("use_upscale", [1, "true", None, []]),
    ("upscale_factor", [1, 3, None, True, "2", 2.5]),
    ("model_variant", ["flux-pro", "", None, 1, []]),
    ("workflow", [5, True, [], {}, "", "x" * 65, "bell\u0007"]),
]


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in BAD_CONFIG for value in values])
def test_a_bad_parameter_is_named_and_starts_nothing(api: Client, field: str, value: object) -> None:
    answer = start(api, **{field: value})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith((f"config.{field}:", f"config.{field}.")), answer.json()
    assert not Job.objects.exists()


def test_the_table_of_bad_parameters_covers_every_parameter() -> None:
    assert {field for field, _ in BAD_CONFIG} == set(GenerationParams.model_fields)
