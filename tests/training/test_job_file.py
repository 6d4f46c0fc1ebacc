import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from base_models import MODELS
from jobs.errors import EngineFailed
from tests.training.aitoolkit_fixtures import order_in
from tests.training.expected_jobs import expected_job
from tests.training.job_files import job_of, parsed_by_trainer, process_of
from training.engines.aitoolkit.dataset import stage_dataset
from training.engines.aitoolkit.job_file import explain_choices
from training.engines.aitoolkit.workspace import workspace_for
from training.engines.order import TrainingOrder
from training.params import TrainingParams

OTHER_VALUES: dict[str, object] = {
    "steps": 1234,
    "learning_rate": 0.002,
    "lora_rank": 32,
    "resolution": 512,
    "batch_size": 2,
    "optimizer": "adamw",
    "scheduler": "linear",
    "precision": "fp32",
    "network_alpha": 3,
    "gradient_accumulation": 4,
    "caption_strategy": "tags",
    "sample_every_n_steps": 60,
    "sample_count": 5,
    "sample_prompts": ["a photo of nobody"],
    "checkpoint_every_n_steps": 300,
    "max_checkpoints": 4,
}


def given_to_engine(order: TrainingOrder) -> tuple[str, list[bytes]]:
    folder = order.workspace / "dataset"
    # A staged dataset is kept for the next attempt, and this is another training.
    shutil.rmtree(folder, ignore_errors=True)
    list(stage_dataset(order, folder))
    return json.dumps(process_of(order)), sorted(path.read_bytes() for path in folder.glob("*.txt"))


@pytest.mark.parametrize("base_model", MODELS)
def test_the_whole_job_file_of_each_base_model(base_model: str, tmp_path: Path) -> None:
    order = order_in(tmp_path, base_model=base_model)
    assert job_of(order) == expected_job(base_model, root=str(order.workspace), name=order.job_id)


@pytest.mark.parametrize("name", [name for name in TrainingParams.model_fields if name != "method"])
@pytest.mark.parametrize("base_model", MODELS)
def test_each_parameter_changes_what_the_engine_is_given_or_is_said_to_be_ignored(
    base_model: str, name: str, tmp_path: Path
) -> None:
    training = MODELS[base_model].training
    assert training is not None
    captions = ("red hair, smile", None, "a hat")
    asked = order_in(tmp_path, base_model=base_model, captions=captions, **{name: OTHER_VALUES[name]})  # type: ignore[arg-type]
    if name in training.ignored:
        assert any(name in log.message and training.ignored[name] in log.message for log in explain_choices(asked))
        return
    assert given_to_engine(order_in(tmp_path, base_model=base_model, captions=captions)) != given_to_engine(asked)


def test_a_parameter_is_called_unwired_where_the_default_model_ignores_it() -> None:
    training = MODELS["flux-dev"].training
    assert training is not None
    for name, field in TrainingParams.model_fields.items():
        extra: Any = field.json_schema_extra
        assert extra["wired"] is (name not in training.ignored)
        assert extra["wired"] or extra["reason"]


def test_the_job_file_holds_each_value_where_ai_toolkit_reads_it(tmp_path: Path) -> None:
    process = process_of(order_in(tmp_path, scheduler="linear", gradient_accumulation=3, precision="fp16", lora_rank=8))
    assert process["type"] == "diffusion_trainer"
    assert process["network"] == {"type": "lora", "linear": 8, "linear_alpha": 16}
    assert process["save"] == {"dtype": "fp16", "save_every": 250, "max_step_saves_to_keep": 2, "push_to_hub": False}
    assert process["logging"] == {"log_every": 1, "use_ui_logger": True}
    assert process["train"]["gradient_accumulation"] == 3
    assert "gradient_accumulation_steps" not in process["train"]
    assert process["train"]["lr_scheduler_params"] == {"start_factor": 1.0, "end_factor": 0.0}
    assert process["train"]["noise_scheduler"] == process["sample"]["sampler"] == "flowmatch"
    assert process["datasets"][0]["folder_path"] == str(tmp_path / "workspace" / "dataset")


def test_restarts_are_asked_for_without_the_number_that_ai_toolkit_chokes_on(tmp_path: Path) -> None:
    train = process_of(order_in(tmp_path, scheduler="cosine_with_restarts"))["train"]
    assert train["lr_scheduler"] == "cosine_with_restarts"
    assert train["lr_scheduler_params"] == {}


@pytest.mark.parametrize(("asked", "given"), [(0.0001, 1.0), (0.0002, 2.0), (0.00005, 0.5)])
def test_prodigy_gets_a_rate_around_one_and_the_log_says_so(asked: float, given: float, tmp_path: Path) -> None:
    order = order_in(tmp_path, optimizer="prodigy", learning_rate=asked)
    assert process_of(order)["train"]["lr"] == given
    assert any("Prodigy" in log.message for log in explain_choices(order))


def test_other_optimizers_get_the_rate_that_was_asked_for(tmp_path: Path) -> None:
    assert process_of(order_in(tmp_path, learning_rate=0.0003))["train"]["lr"] == 0.0003


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"network_alpha": 4}, "network_alpha"),
        ({"scheduler": "cosine_with_restarts"}, "restart"),
        ({"sample_prompts": ["a", "b"], "sample_count": 1}, "first 1 of 2"),
        ({"sample_prompts": "a cat --w 80"}, "was changed"),
    ],
)
def test_the_log_says_what_has_no_effect(params: dict[str, Any], word: str, tmp_path: Path) -> None:
    assert any(word in log.message for log in explain_choices(order_in(tmp_path, **params)))


def test_nothing_is_remarked_about_the_defaults(tmp_path: Path) -> None:
    assert explain_choices(order_in(tmp_path)) == []


@pytest.mark.parametrize("count", [1, 3, 5])
def test_default_sample_prompts_are_as_many_as_asked_and_use_the_trigger_word(count: int, tmp_path: Path) -> None:
    prompts = process_of(order_in(tmp_path, sample_count=count))["sample"]["prompts"]
    assert len(prompts) == len(set(prompts)) == count
    assert all("sks person" in prompt for prompt in prompts)


def test_asked_sample_prompts_are_used_in_turn_with_a_seed_each(tmp_path: Path) -> None:
    sample = process_of(order_in(tmp_path, sample_prompts=["one", "two"], sample_count=3))["sample"]
    assert sample["prompts"] == ["one", "two", "one"]
    assert sample["walk_seed"] is True


def test_a_trigger_word_with_dashes_is_no_flag_in_the_default_prompts(tmp_path: Path) -> None:
    process = parsed_by_trainer(order_in(tmp_path, trigger_word="ann--w 7"))
    assert process["trigger_word"] == "ann--w 7"
    assert not any("--" in prompt for prompt in process["sample"]["prompts"])


def test_a_base_model_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match="flux-dev"):
        process_of(order_in(tmp_path, base_model="flux-nope"))


@pytest.mark.parametrize("job_id", ["train-abc123", "a/b c", "x[1]*?", "../../etc", "é"])
def test_the_engines_name_for_a_job_is_safe_in_paths_and_patterns(job_id: str, tmp_path: Path) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]+", workspace_for(job_id, tmp_path, attempt=1).name)


def test_a_path_in_which_ai_toolkit_would_not_find_its_saves_is_noticed(tmp_path: Path) -> None:
    assert workspace_for("train-1", tmp_path / "my_cn" / "a[1]", attempt=1).hazards() == ["[", "]", "_cn"]
    assert workspace_for("train-1", Path("/data/jobs"), attempt=1).hazards() == []
