"""What is offered is what the servers have: asked of them, told with what is missing, and held against requests."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from django.test import Client

from generation import offers
from generation.params import TOGGLES, VARIANTS
from jobs.models import Job
from tests.generation.declaring_server import Declared, declaring_server

pytestmark = pytest.mark.usefixtures("patient_questions")

UPSCALER = "RealESRGAN_x4plus.pth"


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch, settings) -> None:
    monkeypatch.setattr(offers, "_asked", None)
    settings.RATE_LIMITS = "off"


@pytest.fixture
def server(settings) -> Iterator[Declared]:
    with declaring_server() as declared:
        settings.COMFYUI_URLS = [declared.url]
        yield declared


@pytest.fixture
def servers(settings) -> Iterator[tuple[Declared, Declared]]:
    with ExitStack() as both:
        first, second = (both.enter_context(declaring_server()) for _ in range(2))
        settings.COMFYUI_URLS = [first.url, second.url]
        yield first, second


def start(api: Client, **config) -> object:
    body = {"config": {"prompt": "a portrait"} | config}
    return api.post("/api/generation", body, content_type="application/json")


def test_a_server_that_has_everything_offers_everything(server: Declared) -> None:
    told = offers.info()
    assert set(told["model_variants"]) == set(VARIANTS)
    assert all(model["available"] for model in told["models"].values())
    assert {name: told["toggles"][name]["supported"] for name in TOGGLES} == dict.fromkeys(TOGGLES, True)
    assert told["stale"] is False


def test_the_two_models_of_the_contract_are_always_named_first(server: Declared) -> None:
    server.files.clear()
    assert offers.info()["model_variants"] == ["flux-schnell", "flux-dev"]


def test_a_model_is_offered_when_its_files_are_there(server: Declared) -> None:
    server.remove("sd_xl_base_1.0.safetensors")
    told = offers.info()
    assert "sdxl" not in told["model_variants"]
    assert told["models"]["sdxl"]["missing"] == ["sd_xl_base_1.0.safetensors in models/checkpoints"]
    assert told["models"]["sdxl"]["reason"].endswith("lacks sd_xl_base_1.0.safetensors in models/checkpoints.")


def test_a_file_under_another_of_its_names_will_do(server: Declared) -> None:
    server.remove("flux1-dev.safetensors")
    server.files.add(("UNETLoader", "flux1-dev-fp8.safetensors"))
    assert offers.info()["models"]["flux-dev"]["available"]


def test_a_model_that_needs_a_newer_server_says_so(server: Declared) -> None:
    server.version = "0.7.0"
    told = offers.info()["models"]
    assert told["flux2-klein-4b"]["missing"] == ["ComfyUI 0.9.2 or newer (it is 0.7.0)"]
    assert told["flux-dev"]["available"]


def test_a_missing_node_is_named_with_its_pack(server: Declared) -> None:
    server.nodes.remove("FaceDetailer")
    faces = offers.info()["toggles"]["use_facedetailer"]
    assert not faces["supported"]
    assert "the node FaceDetailer (node pack ComfyUI-Impact-Pack)" in faces["reason"]


def test_a_missing_file_is_named_with_its_folder(server: Declared) -> None:
    server.remove(UPSCALER)
    toggles = offers.info()["toggles"]
    assert toggles["use_upscale"]["reason"] == f"The ComfyUI server lacks {UPSCALER} in models/upscale_models."
    assert toggles["use_controlnet"]["supported"]


def test_a_toggle_is_told_for_each_model(server: Declared) -> None:
    server.nodes.remove("StyleModelApply")
    reference = offers.info()["toggles"]["use_ipadapter"]
    assert reference["supported"]
    assert reference["models"]["sdxl"] == {"supported": True}
    assert not reference["models"]["flux-dev"]["supported"]
    assert reference["models"]["z-image"]["reason"] == "Isengard knows no reference adapter for Z-Image."


def test_each_kind_of_control_is_told(server: Declared) -> None:
    server.nodes.remove("DWPreprocessor")
    kinds = offers.info()["toggles"]["use_controlnet"]["control_types"]
    assert kinds["canny"]["flux-dev"] == {"supported": True}
    assert "comfyui_controlnet_aux" in kinds["pose"]["flux-dev"]["reason"]


def test_what_was_known_is_kept_while_every_server_is_down(
    server: Declared, settings, monkeypatch, nobodys_url: str
) -> None:
    before = offers.info()
    settings.COMFYUI_URLS = [nobodys_url]
    monkeypatch.setattr(offers, "REMEMBERED_SECONDS", 0.0)
    after = offers.info()
    assert after["stale"] is True
    assert "No ComfyUI server answers" in after["reason"]
    assert after["toggles"] == before["toggles"]


def test_servers_are_not_asked_again_within_half_a_minute(server: Declared) -> None:
    before = offers.info()
    server.files.clear()
    assert offers.info() == before


def test_before_any_server_answered_nothing_is_promised(settings, nobodys_url: str) -> None:
    settings.COMFYUI_URLS = [nobodys_url]
    told = offers.info()
    assert told["model_variants"] == ["flux-schnell", "flux-dev"]
    assert told["toggles"]["use_upscale"]["reason"] == "The ComfyUI server cannot be reached."


@pytest.mark.django_db
@pytest.mark.parametrize(("variant", "status"), [("flux-dev", 201), ("flux-schnell", 201), ("sdxl", 400)])
def test_before_any_server_answered_only_the_contracts_models_are_taken(
    api: Client,
    settings,
    nobodys_url: str,
    variant: str,
    status: int,
) -> None:
    settings.COMFYUI_URLS = [nobodys_url]
    assert start(api, model_variant=variant).status_code == status


@pytest.mark.django_db
def test_a_model_that_is_not_there_is_refused_with_the_reason_of_info(api: Client, server: Declared) -> None:
    server.remove("sd_xl_base_1.0.safetensors")
    reason = api.get("/info").json()["image_generation"]["models"]["sdxl"]["reason"]
    answer = start(api, model_variant="sdxl")
    assert (answer.status_code, answer.json()) == (400, {"detail": f"config.model_variant: {reason}"})
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_a_toggle_that_is_not_there_is_refused_with_the_reason_of_info(api: Client, server: Declared) -> None:
    server.remove(UPSCALER)
    reason = api.get("/info").json()["image_generation"]["toggles"]["use_upscale"]["reason"]
    answer = start(api, use_upscale=True)
    assert (answer.status_code, answer.json()) == (400, {"detail": f"config.use_upscale: {reason}"})


@pytest.mark.django_db
def test_a_toggle_that_the_model_cannot_do_is_refused(api: Client, server: Declared) -> None:
    answer = start(api, model_variant="z-image", use_controlnet=True)
    assert answer.json() == {"detail": "config.use_controlnet: Isengard knows no ControlNet for Z-Image."}


@pytest.mark.django_db
def test_a_map_that_is_given_needs_no_preprocessor(api: Client, server: Declared) -> None:
    server.nodes.remove("DWPreprocessor")
    asked = {"use_controlnet": True, "control_type": "pose"}
    assert start(api, **asked).json()["detail"].startswith("config.use_controlnet: The ComfyUI server lacks the node")
    given = start(api, **asked, control_preprocess=False)
    assert given.json()["detail"].startswith("config.control_image: use_controlnet needs it")


@pytest.mark.django_db
def test_what_no_single_server_can_do_is_refused(api: Client, servers: tuple[Declared, Declared]) -> None:
    first, second = servers
    first.remove(UPSCALER)
    second.nodes.remove("FaceDetailer")
    assert start(api, use_upscale=True).status_code == 201
    assert start(api, use_facedetailer=True).status_code == 201
    answer = start(api, use_upscale=True, use_facedetailer=True)
    assert answer.status_code == 400
    assert "No server can do all of this at once." in answer.json()["detail"]


@pytest.mark.django_db
def test_a_supported_toggle_starts_a_job(api: Client, server: Declared) -> None:
    answer = start(api, use_upscale=True, upscale_factor=4)
    assert answer.status_code == 201
    assert answer.json()["config"]["upscale_factor"] == 4


def test_a_server_that_comes_up_after_the_first_question_is_offered_soon(
    monkeypatch: pytest.MonkeyPatch, settings, nobodys_url: str
) -> None:
    settings.COMFYUI_URLS = [nobodys_url]
    assert not offers.info()["models"]["flux-dev"]["available"]
    monkeypatch.setattr(offers, "SILENCE_REMEMBERED_SECONDS", 0.0)
    with declaring_server() as declared:
        settings.COMFYUI_URLS = [declared.url]
        assert offers.info()["models"]["flux-dev"]["available"]
