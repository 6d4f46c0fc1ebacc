"""Uploads, saved pictures and model folders."""

import io
import json
from collections.abc import Mapping

import pytest
import requests
from PIL import Image

from tests.generation.simulator_process import (
    Simulator,
    StartSimulator,
    copy_graph,
    flux_graph,
    images_of,
    lora_bytes,
    png_bytes,
)

pytest_plugins = ("tests.generation.simulator_fixtures",)

OUTSIDE = "**** ERROR: Saving image outside the output folder is not allowed."


def upload(simulator: Simulator, name: str, content: bytes, **fields: str) -> requests.Response:
    return simulator.post("/upload/image", files={"image": (name, content)}, data=fields)


def test_an_upload_keeps_its_name_for_the_same_bytes_and_gets_another_for_others(simulator: Simulator) -> None:
    first, again = upload(simulator, "a.png", b"1"), upload(simulator, "a.png", b"1")
    assert first.json() == again.json() == {"name": "a.png", "subfolder": "", "type": "input"}
    assert upload(simulator, "a.png", b"2").json()["name"] == "a (1).png"
    assert upload(simulator, "a.png", b"2").json()["name"] == "a (1).png"
    assert upload(simulator, "a.png", b"3", overwrite="true").json()["name"] == "a.png"
    assert (simulator.base / "input" / "a.png").read_bytes() == b"3"


def test_an_upload_goes_where_it_is_told(simulator: Simulator) -> None:
    answer = upload(simulator, "deep.png", png_bytes(), subfolder="users/42", type="temp")
    assert answer.json() == {"name": "deep.png", "subfolder": "users/42", "type": "temp"}
    assert simulator.view({"filename": "deep.png", "subfolder": "users/42", "type": "temp"}).content == png_bytes()
    upload(simulator, "deep.png", png_bytes(), subfolder="users/42")
    assert simulator.run(copy_graph("users/42/deep.png"))["status"]["completed"]


@pytest.mark.parametrize("fields", [{"subfolder": "../.."}, {"type": "bogus"}])
def test_an_upload_elsewhere_is_refused(simulator: Simulator, fields: Mapping[str, str]) -> None:
    assert upload(simulator, "evil.png", b"1", **fields).status_code == 400


def test_an_upload_without_a_file(simulator: Simulator) -> None:
    assert simulator.post("/upload/image", files={"other": ("x.png", b"1")}).status_code == 400
    assert simulator.post("/upload/image", files={"image": (None, "text")}).status_code == 500


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 404),
        ({"filename": "nope.png"}, 404),
        ({"filename": "../../main.py"}, 400),
        ({"filename": "x.png", "type": "bogus"}, 400),
        ({"filename": "x.png", "subfolder": "../../.."}, 403),
    ],
)
def test_a_picture_that_cannot_be_seen(simulator: Simulator, query: dict[str, str], status: int) -> None:
    assert simulator.get("/view", params=query).status_code == status


def test_a_picture_can_be_had_smaller_or_by_channel(simulator: Simulator) -> None:
    (image,) = images_of(simulator.run(flux_graph()))
    whole = simulator.view(image)
    assert whole.headers["Content-Type"] == "image/png"
    assert whole.headers["Content-Disposition"] == f'filename="{image["filename"]}"'
    for preview, content_type in (("webp;75", "image/webp"), ("jpeg;80", "image/jpeg")):
        smaller = simulator.view(image, preview=preview)
        assert smaller.headers["Content-Type"] == content_type
        assert Image.open(io.BytesIO(smaller.content)).format == content_type[6:].upper()
    assert Image.open(io.BytesIO(simulator.view(image, channel="rgb").content)).mode == "RGB"
    assert Image.open(io.BytesIO(simulator.view(image, channel="a").content)).mode == "L"


def test_pictures_are_numbered_after_the_highest_that_is_there(simulator: Simulator) -> None:
    folder = simulator.base / "output" / "counted"
    first, second, third = images_of(simulator.run(flux_graph(prefix="counted/img", batch_size=3)))
    assert first == {"filename": "img_00001_.png", "subfolder": "counted", "type": "output"}
    assert (second["filename"], third["filename"]) == ("img_00002_.png", "img_00003_.png")
    (folder / "img_00003_.png").unlink()
    (folder / "img_00001_.png").unlink()
    (reused,) = images_of(simulator.run(flux_graph(prefix="counted/img")))
    assert reused["filename"] == "img_00003_.png"


@pytest.mark.parametrize(
    ("prefix", "subfolder", "name"),
    [
        ("x_%width%x%height%", "", "x_64x48_00001_.png"),
        ("%date:yyyy%/ü", "%date:yyyy%", "ü_00001_.png"),
        ("", "", "._00001_.png"),
    ],
)
def test_odd_prefixes(simulator: Simulator, prefix: str, subfolder: str, name: str) -> None:
    (image,) = images_of(simulator.run(flux_graph(prefix=prefix)))
    assert (image["subfolder"], image["filename"]) == (subfolder, name)
    assert simulator.view(image).status_code == 200


@pytest.mark.parametrize("prefix", ["../evil", "/abs/evil"])
def test_a_prefix_that_leads_outside_fails_at_the_end_of_the_run(simulator: Simulator, prefix: str) -> None:
    error = simulator.error_of(flux_graph(prefix=prefix))
    assert (error["node_type"], error["exception_type"]) == ("SaveImage", "Exception")
    assert error["exception_message"].startswith(OUTSIDE)
    assert "14" in error["executed"]


def test_what_was_saved_before_an_error_is_in_the_history(simulator: Simulator) -> None:
    graph = flux_graph()
    scaling = {"image": ["14", 0], "upscale_method": "area", "scale_by": 0.5}
    graph["20"] = {"class_type": "ImageScaleBy", "inputs": scaling}
    graph["16"] = {"class_type": "SaveImage", "inputs": {"images": ["20", 0], "filename_prefix": "../evil"}}
    entry = simulator.run(graph)
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("error", False)
    assert list(entry["outputs"]) == ["15"]


def test_a_saved_picture_carries_its_graph_and_what_was_added(simulator: Simulator) -> None:
    graph = flux_graph()
    entry = simulator.run(graph, extra_data={"extra_pnginfo": {"workflow": {"id": "w"}, "note": "hello"}})
    picture = Image.open(io.BytesIO(simulator.view(images_of(entry)[0]).content))
    assert json.loads(picture.info["prompt"]) == graph
    assert json.loads(picture.info["workflow"]) == {"id": "w"}
    assert json.loads(picture.info["note"]) == "hello"


def test_model_folders_are_listed(simulator: Simulator) -> None:
    assert {"loras", "diffusion_models", "vae"} <= set(simulator.get("/models").json())
    assert simulator.get("/models/upscale_models").json() == ["RealESRGAN_x4plus.pth"]
    assert simulator.get("/models/gligen").json() == []
    assert simulator.get("/models/unet").status_code == 404


def test_the_metadata_of_a_model_can_be_read(simulator: Simulator) -> None:
    (simulator.loras / "with_metadata.safetensors").write_bytes(lora_bytes())
    answer = simulator.get("/view_metadata/loras?filename=with_metadata.safetensors")
    assert answer.json() == {"made_for": "a test"}
    assert simulator.get("/view_metadata/loras?filename=nope.safetensors").status_code == 404


def test_models_that_are_there_are_not_replaced_at_the_start(start_simulator: StartSimulator) -> None:
    simulator = start_simulator()
    model = simulator.base / "models" / "diffusion_models" / "flux1-dev.safetensors"
    model.write_bytes(lora_bytes())
    simulator.stop()
    simulator.start()
    assert model.read_bytes() == lora_bytes()
