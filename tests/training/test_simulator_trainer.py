import os
import stat
from pathlib import Path

import pytest

from tests.training.simulator_bench import NAME, Bench, read_step, tensor_hash

# As slow as it takes for files of two saves to differ in the file system's time too.
PACED = "0.005"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_training_ends_with_code_0_and_the_final_file(bench: Bench) -> None:
    outcome = bench.run()

    assert outcome.code == 0
    assert outcome.out.endswith(
        f"Saved checkpoint to {bench.weights()}\nSaved optimizer to {bench.output}/optimizer.pt\n\n"
    )
    assert "Result:" not in outcome.out
    assert read_step(bench.weights()) == 6


def test_saves_are_numbered_pruned_and_readable_by_their_owner_alone(bench: Bench) -> None:
    bench.process["train"]["steps"] = 18
    bench.process["save"] |= {"save_every": 5, "max_step_saves_to_keep": 2}

    outcome = bench.run(step_seconds=PACED)

    files = sorted(path.name for path in bench.output.glob("*.safetensors"))
    assert files == [f"{NAME}.safetensors", f"{NAME}_000000010.safetensors", f"{NAME}_000000015.safetensors"]
    assert f"Removing old save: {bench.weights(5)}" in outcome.out
    assert stat.S_IMODE(bench.weights().stat().st_mode) == 0o600
    assert read_step(bench.weights(15)) == 15
    assert not list(bench.output.glob(".tmp*"))


def test_the_bar_counts_up_from_nothing_to_all(bench: Bench) -> None:
    outcome = bench.run(step_seconds="0.005")

    assert f"\r{NAME}:   0%|          | 0/6 [00:00<?, ?it/s]" in outcome.drawn
    assert f"\r{NAME}: 100%|██████████| 6/6 [00:00<00:00, " in outcome.drawn
    assert outcome.bars == sorted(outcome.bars)
    assert outcome.bars[0] == (0, 6)
    assert outcome.bars[-1] == (6, 6)
    assert outcome.err.endswith("]\n")
    assert ", lr: 1.0e-04 loss: " in outcome.err


def test_the_other_bars_have_the_real_names(bench: Bench) -> None:
    outcome = bench.run()

    assert "\rLoading weights: 100%|██████████| 21/21 [" in outcome.err
    assert "\rCaching latents to disk: 100%|██████████| 3/3 [" in outcome.err


def test_samples_are_drawn_before_during_and_after_the_training(bench: Bench) -> None:
    bench.process["train"] |= {"steps": 6, "disable_sampling": False}
    bench.process["sample"] |= {"sample_every": 4, "format": "png", "prompts": ["[trigger] smiling", "a cat"]}

    outcome = bench.run()

    names = [path.name.split("__")[1] for path in sorted((bench.output / "samples").glob("*.png"))]
    assert sorted(names) == [f"{step:09d}_{index}.png" for step in (0, 4, 6) for index in (0, 1)]
    assert len(list((bench.output / "samples" / ".thumbs").glob("*.png.jpg"))) == 6
    assert not list((bench.output / "samples" / ".tmp").iterdir())
    assert "Generating baseline samples before training\n" in outcome.out
    assert "\n\rGenerating Images:   0%|          | 0/2 [00:00<?, ?it/s]\x1b[A" in outcome.drawn


def test_a_finished_job_run_again_saves_and_samples_without_training(bench: Bench) -> None:
    bench.process["train"]["disable_sampling"] = False
    bench.process["sample"]["prompts"] = ["a cat"]
    bench.run()
    first_saved_at = bench.weights().stat().st_mtime_ns

    outcome = bench.run()

    assert outcome.code == 0
    assert f"#### IMPORTANT RESUMING FROM {bench.weights()} ####" in outcome.out
    assert "Generating baseline" not in outcome.out
    assert set(outcome.bars) == {(6, 6)}
    assert bench.weights().stat().st_mtime_ns > first_saved_at
    assert len(list((bench.output / "samples").glob("*_000000006_0.jpg"))) == 2


def test_a_finished_job_goes_on_when_it_is_given_more_steps(bench: Bench) -> None:
    bench.run()
    bench.process["train"]["steps"] = 9

    outcome = bench.run()

    assert "Found step 6 in metadata, starting from there" in outcome.out
    assert f"Loading optimizer state from {bench.output}/optimizer.pt" in outcome.out
    assert outcome.bars[0] == (6, 9)
    assert read_step(bench.weights()) == 9


def test_a_resumed_training_ends_with_the_same_lora_as_one_in_a_piece(bench: Bench) -> None:
    bench.run()
    whole = tensor_hash(bench.weights())
    bench.weights().unlink()
    bench.process["save"]["save_every"] = 3
    bench.run(fault="crash@5", step_seconds=PACED)

    outcome = bench.run()

    assert f"RESUMING FROM {bench.weights(3)}" in outcome.out
    assert tensor_hash(bench.weights()) == whole


def test_the_save_that_changed_last_is_resumed_from_whatever_its_number(bench: Bench) -> None:
    bench.process["save"]["save_every"] = 2
    bench.run()
    os.utime(bench.weights(2))

    outcome = bench.run()

    assert "Found step 2 in metadata" in outcome.out


def test_a_changed_rank_expands_the_weights_and_drops_the_optimizer_state(bench: Bench) -> None:
    bench.run()
    bench.process["network"]["linear"] = 8

    outcome = bench.run()

    line = "Expanding transformer$$transformer_blocks$$0$$ff$$net$$2.lora_down.weight"
    assert f"{line} from torch.Size([4, 128]) to torch.Size([8, 128])" in outcome.out
    assert "Loading optimizer state" not in outcome.out


def test_a_broken_optimizer_state_is_reported_and_left(bench: Bench) -> None:
    bench.run()
    (bench.output / "optimizer.pt").write_bytes(b"half a file")

    outcome = bench.run()

    assert outcome.code == 0
    assert f"Failed to load optimizer state from {bench.output}/optimizer.pt" in outcome.out


def test_brackets_in_a_name_keep_saves_from_being_pruned_or_resumed(bench: Bench) -> None:
    bench.name = "ada[1]"
    bench.process["save"] |= {"save_every": 2, "max_step_saves_to_keep": 1}

    bench.run()
    again = bench.run()

    assert "RESUMING" not in again.out
    assert "Removing" not in again.out
