"""Texts of people that ai-toolkit would read as syntax reach it as text."""

from pathlib import Path

import pytest

from tests.training.aitoolkit_fixtures import order_in
from tests.training.job_files import job_of, parsed_by_trainer
from training.engines.aitoolkit.dataset import stage_dataset
from training.engines.aitoolkit.job_file import explain_choices, render_job

HOSTILE = ["${HOME}", "${NOT_SET}", "[name]", "[trigger]", "--w 80", "a\nb\r\nc", "$$", "{x|y}", '"}], "job": "x']


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("a cat --w 80 --h 64", "a cat —w 80 —h 64"),
        ("a cat --n", "a cat —n"),
        ("a cat ---- x", "a cat — x"),
        ("${HOME} and ${NOT_SET}", "${HOME} and ${NOT_SET}"),
        ("$100 bill", "$100 bill"),
        ("the [name] of [trigger] [x]", "the (name) of sks person (x)"),
        ("[[trigger]]", "(sks person)"),
        ('straße \N{SMILING FACE WITH SUNGLASSES}\n"quoted"', 'straße \N{SMILING FACE WITH SUNGLASSES}\n"quoted"'),
    ],
)
def test_a_prompt_reaches_the_engine_as_text_and_not_as_syntax(asked: str, given: str, tmp_path: Path) -> None:
    process = parsed_by_trainer(order_in(tmp_path, sample_prompts=asked, sample_count=1))
    assert process["sample"]["prompts"] == [given]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_trigger_word_that_looks_like_syntax_changes_nothing_but_itself(text: str, tmp_path: Path) -> None:
    order = order_in(tmp_path, trigger_word=text)
    process = parsed_by_trainer(order)
    assert process["trigger_word"] == text.replace("[", "(").replace("]", ")")
    assert not any("--" in prompt or "[" in prompt for prompt in process["sample"]["prompts"])
    assert len(process["sample"]["prompts"]) == 3


@pytest.mark.parametrize("strategy", ["natural", "tags"])
@pytest.mark.parametrize("text", HOSTILE)
def test_a_caption_holds_nothing_that_the_trainer_replaces(text: str, strategy: str, tmp_path: Path) -> None:
    order = order_in(tmp_path, captions=(text,), caption_strategy=strategy)
    list(stage_dataset(order, order.workspace / "dataset"))
    (caption,) = [path.read_text() for path in (order.workspace / "dataset").glob("*.txt")]
    assert not {"[", "]", "\n"} & set(caption)
    assert "sks person" in caption


def test_dashes_in_the_trigger_word_are_told_because_samples_show_it_otherwise(tmp_path: Path) -> None:
    told = explain_choices(order_in(tmp_path, trigger_word="ann--w 7"))
    assert any("dash" in log.message for log in told)


def test_no_text_of_a_person_can_start_a_variable_in_the_files_text(tmp_path: Path) -> None:
    order = order_in(tmp_path, trigger_word="${HOME}", sample_prompts="${HOME}", sample_count=1)
    assert "$" not in render_job(job_of(order))
