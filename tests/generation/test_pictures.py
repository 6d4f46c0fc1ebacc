"""What a picture says of how it was made: complete, readable by other programs, and nothing of the server's."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from generation.engines.order import GenerationOrder, ImagePrompts
from generation.params import GenerationParams
from generation.pictures import NotExplained, UsedLora, explain, read_explanation
from jobs.errors import EngineFailed
from jobs.events import Artifact, Controls

LORA = UsedLora(id="lora-1", name='Ann, "the" one v2', version=2, sha256="ab" * 32, strength=0.8)


def order(folder: Path, *, prompts: tuple[ImagePrompts, ...] = (), **config: Any) -> GenerationOrder:
    return GenerationOrder(
        job_id="gen-1",
        attempt=1,
        params=GenerationParams(**{"prompt": "a red coat", "seed": 40} | config),
        count=3,
        done=frozenset(),
        loras=(),
        server_url="http://somebody:secret@gpu-host-7:8188",
        workspace=folder,
        controls=Controls(),
        prompts=prompts,
    )


def picture(folder: Path) -> Artifact:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("prompt", '{"1": {"inputs": {"unet_name": "/srv/models/flux.safetensors"}}}')
    path = folder / "gen-1-2.png"
    Image.linear_gradient("L").save(path, pnginfo=texts)
    return Artifact(type="output", name=path.name, path=path, details={"index": 2, "seed": 42, "seconds": 1.5})


def explained(folder: Path, **asked: Any) -> Artifact:
    return explain(picture(folder), order(folder, **asked), loras=(LORA,), version="0.1.0")


def said(folder: Path, **asked: Any) -> str:
    text = Image.open(explained(folder, **asked).path).text["parameters"]
    assert isinstance(text, str)
    return text


def test_everything_that_made_it_is_in_the_picture(tmp_path: Path) -> None:
    explained(tmp_path, steps=7)
    told = read_explanation(tmp_path / "gen-1-2.png")
    parameters = told.pop("parameters")
    assert told == {
        "isengard_version": "0.1.0",
        "job_id": "gen-1",
        "index": 2,
        "prompt": "a red coat",
        "negative_prompt": "",
        "seed": 42,
        "model": {"name": "flux-dev", "title": "FLUX.1 dev"},
        "workflow": None,
        "loras": [{"id": "lora-1", "name": 'Ann, "the" one v2', "version": 2, "sha256": "ab" * 32, "strength": 0.8}],
    }
    assert GenerationParams(**parameters) == GenerationParams(prompt="a red coat", seed=42, steps=7)


def test_nothing_of_the_server_is_in_the_picture(tmp_path: Path) -> None:
    content = explained(tmp_path).path.read_bytes()
    for trace in (b"safetensors", b"/srv", b"gpu-host", b"secret", str(tmp_path).encode()):
        assert trace not in content


def test_the_text_for_galleries_is_in_the_form_that_they_read(tmp_path: Path) -> None:
    assert said(tmp_path, negative_prompt="rain", width=512, height=768) == (
        "a red coat\n"
        "Negative prompt: rain\n"
        "Steps: 20, Sampler: Euler, Schedule type: Simple, CFG scale: 2.0, Distilled CFG Scale: 3.5, Seed: 42, "
        'Size: 512x768, Model: flux-dev, Lora hashes: "Ann, \\"the\\" one v2: ababababab", Version: Isengard 0.1.0'
    )


@pytest.mark.parametrize(
    ("asked", "values"),
    [
        (
            {"model_variant": "flux-schnell"},
            "Steps: 4, Sampler: Euler, Schedule type: Simple, CFG scale: 1.0, Seed: 42",
        ),
        (
            {"model_variant": "sdxl"},
            "Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.0, Seed: 42, Size: 1024x1024, Model: sdxl",
        ),
        ({"init_image": "input-1.png", "denoise": 0.4}, "Model: flux-dev, Denoising strength: 0.4, "),
    ],
)
def test_the_text_says_what_the_model_really_used(tmp_path: Path, asked: dict[str, Any], values: str) -> None:
    assert values in said(tmp_path, **asked)


def test_what_was_chosen_in_the_prompts_is_told_and_not_the_choices(tmp_path: Path) -> None:
    prompts = tuple(ImagePrompts(prompt=f"a {word} coat", negative_prompt="{}") for word in ("red", "blue", "green"))
    done = explained(tmp_path, prompt="a {red|blue|green} coat", dynamic_prompts=True, prompts=prompts)
    told = read_explanation(done.path)
    assert (told["prompt"], done.details["prompt"]) == ("a green coat", "a green coat")
    # Sent again as they are, braces that were escaped must stay braces.
    assert (told["parameters"]["dynamic_prompts"], told["parameters"]["negative_prompt"]) == (False, "{}")


def test_the_details_are_those_of_the_file_that_is_published(tmp_path: Path) -> None:
    done = explained(tmp_path)
    assert done.details["sha256"] == hashlib.sha256(done.path.read_bytes()).hexdigest()
    assert (done.details["index"], done.details["seed"], done.details["seconds"]) == (2, 42, 1.5)
    assert json.loads(json.dumps(done.details["loras"])) == [
        {"id": "lora-1", "name": 'Ann, "the" one v2', "version": 2, "sha256": "ab" * 32, "strength": 0.8}
    ]


def test_a_file_that_is_no_png_fails_the_job_in_words(tmp_path: Path) -> None:
    broken = picture(tmp_path)
    broken.path.write_bytes(b"<html>")
    with pytest.raises(EngineFailed, match=r"The image that ComfyUI made cannot be read: It is no PNG\."):
        explain(broken, order(tmp_path), loras=(), version="0.1.0")


@pytest.mark.parametrize("text", [None, "no JSON", "[1]"])
def test_a_picture_of_another_program_is_told_apart(tmp_path: Path, text: str | None) -> None:
    texts = PngImagePlugin.PngInfo()
    if text:
        texts.add_text("isengard", text)
    Image.new("RGB", (8, 8)).save(tmp_path / "other.png", pnginfo=texts)
    with pytest.raises(NotExplained, match=r"other.png does not say how it was made."):
        read_explanation(tmp_path / "other.png")
