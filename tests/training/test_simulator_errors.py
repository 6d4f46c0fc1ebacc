import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.training.simulator_bench import Bench, Outcome, tensor_hash

LOADED = "enable LoRA for U-Net\n"
TRAINED = " 6/6 ["


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def assert_failed(outcome: Outcome, message: str) -> None:
    """An error is told on both streams, and the job counts as a failure."""
    assert outcome.code == 1
    assert f"Error running job: {message}" in outcome.out
    assert "\nResult:\n - 0 completed jobs\n - 1 failure\n" in outcome.out
    assert "Traceback (most recent call last):\n" in outcome.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "nosuch_trainer"}, "config file is invalid. Unknown process type: nosuch_trainer"),
        ({"training_folder": None}, "expected str, bytes or os.PathLike object, not NoneType"),
        ({"model": {"arch": "flux"}}, "name_or_path must be specified"),
        ({"save": {"save_format": "ckpt"}}, "save_format must be"),
        ({"train": {"gradient_accumulation": 2, "gradient_accumulation_steps": 2}}, "gradient_accumulation and"),
    ],
    ids=str,
)
def test_a_mistake_found_in_the_constructor_finds_no_job_to_tell(
    bench: Bench, change: dict[str, Any], message: str
) -> None:
    bench.process |= change

    outcome = bench.run()

    assert_failed(outcome, message)
    assert "Error running on_error: cannot access local variable 'job'" in outcome.out
    assert "# Running job" not in outcome.out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting property name"),
        ("{}", "config file must have a job key"),
        ('{"job": "extension"}', "config file must have a config section"),
        ('{"job": "extension", "config": {}}', "config file must have a config.name key"),
        ('{"job": "extension", "config": {"name": "a"}}', "config file is invalid. Missing"),
        ('{"job": "dance", "config": {"name": "a", "process": [{}]}}', "Unknown job type dance"),
        ('{"job": "${NOBODY_SET_THIS}"}', "Environment variable NOBODY_SET_THIS not set."),
    ],
)
def test_a_broken_job_file_is_refused(bench: Bench, text: str, message: str) -> None:
    bench.job_file.write_text(text, encoding="utf-8")

    assert_failed(bench.run(str(bench.job_file)), message)


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("train", {"noise_scheduler": "eulerX"}, "Sampler eulerX not supported"),
        ("train", {"dtype": "BF16"}, "to() received an invalid combination of arguments"),
        ("model", {"arch": "nosuch"}, "Pipeline <class 'diffusers."),
        ("model", {"name_or_path": "/nowhere/model"}, "We couldn't connect to 'https://huggingface.co'"),
        ("model", {"name_or_path": "./nowhere"}, "We couldn't connect to 'https://huggingface.co'"),
        ("model", {"name_or_path": "isengard/gated-model"}, "403 Client Error."),
        ("model", {"name_or_path": "isengard/missing-model"}, "isengard/missing-model is not a local folder"),
        ("network", {"linear": "4"}, "empty(): argument 'size' (position 1) must be tuple of ints"),
    ],
)
def test_a_mistake_found_while_the_model_loads_comes_before_the_network(
    bench: Bench, section: str, change: dict[str, Any], message: str
) -> None:
    bench.process[section] |= change

    outcome = bench.run()

    assert_failed(outcome, message)
    assert "# Running job" in outcome.out
    assert LOADED not in outcome.out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "sgd"}, "Unknown optimizer type sgd"),
        ({"optimizer": "lion"}, "Please install lion_pytorch"),
        ({"optimizer": "dadaptation"}, "No module named 'dadaptation'"),
        ({"optimizer_params": {"bogus": 1}}, "AdamW.__init__() got an unexpected keyword argument 'bogus'"),
        ({"lr_scheduler": "exponential"}, "Scheduler must be cosine, cosine_with_restarts, step, linear or constant"),
        ({"lr_scheduler": None}, "Scheduler must be cosine, cosine_with_restarts, step, linear or constant"),
        ({"lr_scheduler": "step"}, "StepLR.__init__() got an unexpected keyword argument 'total_iters'"),
        (
            {"lr_scheduler": "cosine_with_restarts", "lr_scheduler_params": {"num_cycles": 3}},
            "CosineAnnealingWarmRestarts.__init__() got an unexpected keyword argument 'num_cycles'",
        ),
    ],
    ids=str,
)
def test_a_wrong_optimizer_or_schedule_fails_after_the_model_is_loaded(
    bench: Bench, change: dict[str, Any], message: str
) -> None:
    bench.process["train"] |= change

    outcome = bench.run()

    assert_failed(outcome, message)
    assert LOADED in outcome.out
    assert "Dataset: " not in outcome.out


def test_a_missing_dataset_folder_is_taken_for_a_file(bench: Bench) -> None:
    bench.process["datasets"][0]["folder_path"] = "/nowhere/images"

    outcome = bench.run()

    assert_failed(outcome, "[Errno 2] No such file or directory: '/nowhere/images'\n")
    assert "\nFileNotFoundError: " in outcome.err


def test_a_folder_without_images_is_an_error(bench: Bench) -> None:
    empty = bench.folder / "empty"
    empty.mkdir()
    bench.process["datasets"][0]["folder_path"] = str(empty)

    outcome = bench.run()

    assert_failed(outcome, f"no images found in {empty}")
    assert "\r0it [00:00, ?it/s]" in outcome.drawn


def test_missing_datasets_fail_at_the_first_step(bench: Bench) -> None:
    del bench.process["datasets"]

    outcome = bench.run()

    assert_failed(outcome, "'NoneType' object has no attribute 'get_caption_list'")
    assert outcome.bars[0] == (0, 6)


def test_steps_that_are_text_fail_after_everything_is_loaded(bench: Bench) -> None:
    bench.process["train"]["steps"] = "6"

    outcome = bench.run()

    assert_failed(outcome, "'str' object cannot be interpreted as an integer")
    assert "Skipping first sample" in outcome.out


def test_a_wrong_number_type_for_saves_fails_only_at_the_first_save(bench: Bench) -> None:
    bench.process["save"]["dtype"] = "float7"

    outcome = bench.run()

    assert_failed(outcome, "Invalid device string: 'float7'")
    assert TRAINED in outcome.err


def test_a_slash_in_the_name_fails_only_at_the_first_save(bench: Bench) -> None:
    bench.name = "ada/v1"

    outcome = bench.run()

    assert_failed(outcome, "Error while serializing: I/O error: No such file or directory")
    assert TRAINED in outcome.err


def test_switched_off_bars_are_fatal(bench: Bench) -> None:
    assert_failed(bench.run(TQDM_DISABLE="1"), "'ToolkitProgressBar' object has no attribute '_time'")


def test_unknown_keys_and_network_types_are_ignored(bench: Bench) -> None:
    bench.process |= {"bogus": 1}
    bench.process["network"] |= {"type": "loraX", "nonsense": 2}

    assert bench.run().code == 0


def test_an_assistant_that_is_a_folder_is_refused_and_a_hub_id_is_used(bench: Bench) -> None:
    bench.process["model"]["assistant_lora_path"] = str(bench.dataset)
    assert_failed(bench.run(), "No such device (os error 19)")

    bench.process["model"]["assistant_lora_path"] = "ostris/FLUX.1-schnell-training-adapter"
    outcome = bench.run()

    assert outcome.code == 0
    assert "Fusing in LoRA\n" in outcome.out
    assert "Loading assistant lora\n" in outcome.out


@pytest.mark.parametrize("arguments", [("-r",), ("--nonsense", "job.json")])
def test_a_wrong_command_line_ends_with_code_2(bench: Bench, arguments: tuple[str, ...]) -> None:
    assert bench.run(*arguments).code == 2


def test_flags_in_a_prompt_change_the_sample(bench: Bench) -> None:
    bench.process["train"]["disable_sampling"] = False
    bench.process["sample"]["prompts"] = ["a bear --d 7 --w 87 --h 130", "a bear"]

    bench.run()

    sizes = {}
    for path in (bench.output / "samples").glob("*_000000000_*.jpg"):
        with Image.open(path) as image:
            sizes[path.stem[-1]] = image.size
    assert sizes == {"0": (80, 128), "1": (64, 64)}


def test_a_flag_without_its_number_ends_the_job(bench: Bench) -> None:
    bench.process["train"]["disable_sampling"] = False
    bench.process["sample"]["prompts"] = ["a bear --w wide"]

    assert_failed(bench.run(), "invalid literal for int() with base 10: 'wide'")


def test_only_images_of_the_known_kinds_count_wherever_they_lie(bench: Bench) -> None:
    for name in ("deep/er/a.JPG", "b.webp", "c.bmp", ".hidden/d.png", ".e.png", "_controls/f.png"):
        bench.add_image(name)

    outcome = bench.run()

    assert "  -  Found 5 images\n" in outcome.out
    assert (bench.dataset / "deep" / "er" / "_latent_cache").is_dir()
    sizes = json.loads((bench.dataset / ".aitk_size.json").read_text(encoding="utf-8"))
    assert sizes["__version__"] == "0.1.2"
    assert sizes["/b.webp"][:2] == [64, 64]


def test_a_broken_image_is_reported_and_skipped(bench: Bench) -> None:
    broken = bench.dataset / "broken.jpg"
    broken.write_bytes(b"no image")

    outcome = bench.run()

    assert outcome.code == 0
    assert f"Error processing image: {broken}\ncannot identify image file '{broken}'\n" in outcome.out
    assert "  -  Found 3 images\n" in outcome.out


def test_a_list_of_resolutions_makes_a_dataset_of_each(bench: Bench) -> None:
    bench.add_image("small.png")
    Image.new("RGB", (120, 160)).save(bench.dataset / "tall.png")
    bench.process["datasets"][0]["resolution"] = [64, 128]

    outcome = bench.run()

    assert outcome.out.count(f"Dataset: {bench.dataset}\n") == 2
    assert "64x64: 5 files\n1 buckets made\n" in outcome.out
    assert "96x160: 1 files\n2 buckets made\n" in outcome.out


def test_a_caption_that_is_not_utf8_fails_in_the_loader(bench: Bench) -> None:
    (bench.dataset / "0.txt").write_bytes(b"\xff\xfe")

    outcome = bench.run()

    assert_failed(outcome, "'utf-8' codec can't decode byte 0xff")
    assert outcome.bars[0] == (0, 6)


def test_a_caption_counts_with_the_trigger_word_in_it(bench: Bench) -> None:
    hashes = []
    for caption in ("a photo", "ada a photo", "[trigger] a photo", "a photo of ada"):
        (bench.dataset / "0.txt").write_text(caption, encoding="utf-8")
        bench.run()
        hashes.append(tensor_hash(bench.weights()))
        bench.weights().unlink()

    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]
