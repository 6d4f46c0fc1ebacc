"""Which save a training goes on from, whatever a death, a full disk or a copied folder left behind."""

import os
import time
from pathlib import Path

import pytest

from jobs.events import Artifact, Log
from tests.training.aitoolkit_fixtures import lora_bytes, order_in, write_lora
from training.engines.aitoolkit.outputs import Outputs
from training.engines.aitoolkit.starting_point import Start, find_start
from training.engines.aitoolkit.workspace import Workspace, workspace_for

NAME = "train-1"
STEPS = 1000


def bench(root: Path) -> Workspace:
    return workspace_for(NAME, root / "workspace", attempt=2)


def start_in(root: Path, *, checkpoint: Path | None = None, steps: int = STEPS) -> Start:
    search = find_start(order_in(root, checkpoint=checkpoint, steps=steps), bench(root))
    while True:
        try:
            next(search)
        except StopIteration as end:
            return end.value


def save(root: Path, step: int, *, named: int | None = None) -> Path:
    """Write a save later than those before it, by the file system's clock too."""
    path = bench(root).saves / f"{NAME}_{step if named is None else named:09d}.safetensors"
    write_lora(path, step=step)
    time.sleep(0.01)
    return path


def with_numbers(path: Path, numbers: bytes) -> None:
    """Put these bytes where the first tensor begins."""
    content = bytearray(path.read_bytes())
    begin = 8 + int.from_bytes(content[:8], "little")
    content[begin : begin + len(numbers)] = numbers
    path.write_bytes(content)


def taken_by_ai_toolkit(root: Path) -> Path | None:
    """What the program itself goes on from: whatever begins with the job's name and changed last."""
    saves = [path for path in bench(root).saves.iterdir() if path.name.startswith(NAME)]
    return max(saves, key=lambda path: path.stat().st_ctime_ns, default=None)


def step_of(found: Start) -> int | None:
    return found[0].step if found[0] else None


def said(remarks: list[Log]) -> str:
    return "\n".join(line.message for line in remarks)


def test_an_empty_folder_means_the_beginning(tmp_path: Path) -> None:
    assert start_in(tmp_path) == (None, [])


def test_the_newest_save_is_gone_on_from_and_the_others_stay(tmp_path: Path) -> None:
    older, newer = save(tmp_path, 250), save(tmp_path, 500)
    start, remarks = start_in(tmp_path)
    assert start is not None
    assert (start.path, start.step) == (newer, 500)
    assert older.exists()
    assert "Going on from step 500 of 1000." in said(remarks)


@pytest.mark.parametrize("kept_bytes", [0, 5, 8, 100, -1])
def test_a_save_that_is_cut_off_anywhere_is_set_aside_for_the_one_before(kept_bytes: int, tmp_path: Path) -> None:
    save(tmp_path, 250)
    broken = save(tmp_path, 500)
    os.truncate(broken, kept_bytes if kept_bytes >= 0 else broken.stat().st_size - 1)
    found = start_in(tmp_path)
    assert step_of(found) == 250
    assert f"{broken.name} is incomplete and was set aside" in said(found[1])
    assert not broken.exists()
    assert (bench(tmp_path).set_aside / f"2-{broken.name}").exists()


@pytest.mark.parametrize("number", [b"\xc0\x7f", b"\x80\x7f", b"\x80\xff"], ids=["nan", "inf", "-inf"])
def test_a_save_with_numbers_that_are_none_is_not_gone_on_from_nor_its_optimizer(number: bytes, tmp_path: Path) -> None:
    save(tmp_path, 250)
    with_numbers(save(tmp_path, 500), number)
    optimizer = bench(tmp_path).saves / "optimizer.pt"
    optimizer.write_bytes(b"moments")
    found = start_in(tmp_path)
    assert step_of(found) == 250
    assert "numbers that are no numbers" in said(found[1])
    assert not optimizer.exists()


def test_a_save_from_beyond_the_end_is_set_aside(tmp_path: Path) -> None:
    save(tmp_path, 250)
    save(tmp_path, 1500)
    found = start_in(tmp_path)
    assert step_of(found) == 250
    assert "is of step 1500, though the training has only 1000" in said(found[1])


def test_a_finished_file_is_gone_on_from_so_that_the_run_only_has_to_end(tmp_path: Path) -> None:
    save(tmp_path, 750)
    write_lora(bench(tmp_path).model, step=STEPS)
    assert step_of(start_in(tmp_path)) == STEPS


def test_a_save_without_its_step_is_set_aside(tmp_path: Path) -> None:
    save(tmp_path, 250)
    nameless = save(tmp_path, 500)
    nameless.write_bytes(nameless.read_bytes().replace(b"training_info", b"training_xxxx"))
    found = start_in(tmp_path)
    assert step_of(found) == 250
    assert "does not say of which step it is" in said(found[1])


def test_the_step_inside_counts_and_not_the_one_in_the_name(tmp_path: Path) -> None:
    save(tmp_path, 300, named=900)
    save(tmp_path, 400, named=100)
    assert step_of(start_in(tmp_path)) == 400


@pytest.mark.parametrize("touch", ["chmod", "copy", "rename"])
def test_what_changed_last_by_accident_is_not_what_either_side_goes_on_from(touch: str, tmp_path: Path) -> None:
    older, newer = save(tmp_path, 250), save(tmp_path, 500)
    if touch == "chmod":
        older.chmod(0o640)
    elif touch == "copy":
        content = older.read_bytes()
        older.unlink()
        older.write_bytes(content)
    else:
        older.rename(older.with_name("elsewhere"))
        (older.parent / "elsewhere").rename(older)
    found = start_in(tmp_path)
    assert step_of(found) == 500
    assert taken_by_ai_toolkit(tmp_path) == newer
    assert "changed after the one to go on from" in said(found[1])


@pytest.mark.parametrize("name", [f"{NAME}_backup.pt", f"{NAME}_copy", f"{NAME}.safetensors.bak"])
def test_whatever_else_begins_with_the_jobs_name_is_out_of_the_programs_sight(name: str, tmp_path: Path) -> None:
    newest = save(tmp_path, 250)
    stray = bench(tmp_path).saves / name
    if name.endswith("_copy"):
        stray.mkdir()
    else:
        stray.write_bytes(b"something")
    assert step_of(start_in(tmp_path)) == 250
    assert taken_by_ai_toolkit(tmp_path) == newest


def test_when_nothing_is_usable_nothing_is_left_for_the_program_to_take(tmp_path: Path) -> None:
    os.truncate(save(tmp_path, 250), 50)
    assert step_of(start_in(tmp_path)) is None
    assert taken_by_ai_toolkit(tmp_path) is None


def test_the_same_broken_name_in_two_attempts_is_no_trouble(tmp_path: Path) -> None:
    for _ in range(2):
        os.truncate(save(tmp_path, 250), 50)
        assert step_of(start_in(tmp_path)) is None


def test_a_published_checkpoint_is_adopted_where_it_is_further(tmp_path: Path) -> None:
    own = save(tmp_path, 250)
    published = write_lora(tmp_path / "published.safetensors", step=500)
    start, remarks = start_in(tmp_path, checkpoint=published)
    assert start is not None
    assert (start.step, start.path) == (500, own.with_name(f"{NAME}_000000500.safetensors"))
    assert taken_by_ai_toolkit(tmp_path) == start.path
    assert "starts anew" in said(remarks)


@pytest.mark.parametrize("flaw", [b"", b"\xc0\x7f"], ids=["cut off", "nan"])
def test_a_save_of_no_use_is_not_offered_as_a_checkpoint_and_said_once(flaw: bytes, tmp_path: Path) -> None:
    workspace = bench(tmp_path)
    workspace.saves.mkdir(parents=True)
    outputs = Outputs(workspace)
    save(tmp_path, 250)
    bad = save(tmp_path, 500)
    if flaw:
        with_numbers(bad, flaw)
    else:
        os.truncate(bad, 200)
    told = [*outputs.new(), *outputs.new()]
    assert [event.step for event in told if isinstance(event, Artifact)] == [250]
    assert [event.level for event in told if isinstance(event, Log)] == ["WARNING"]
    assert outputs.last_saved_step == 250


@pytest.mark.parametrize("step", [100, 250])
def test_a_published_checkpoint_that_is_no_further_changes_nothing(step: int, tmp_path: Path) -> None:
    own = save(tmp_path, 250)
    published = write_lora(tmp_path / "published.safetensors", step=step)
    start, _ = start_in(tmp_path, checkpoint=published)
    assert start is not None
    assert start.path == own


def test_the_end_of_a_training_is_where_more_steps_begin(tmp_path: Path) -> None:
    lora = write_lora(tmp_path / "v1.safetensors", step=1000)
    assert step_of(start_in(tmp_path, checkpoint=lora, steps=1500)) == 1000


@pytest.mark.parametrize("flaw", ["cut off", "nan", "gone", "too far"])
def test_a_published_checkpoint_of_no_use_is_said_and_done_without(flaw: str, tmp_path: Path) -> None:
    save(tmp_path, 250)
    published = write_lora(tmp_path / "published.safetensors", step=1500 if flaw == "too far" else 500)
    if flaw == "cut off":
        os.truncate(published, 200)
    elif flaw == "nan":
        with_numbers(published, b"\xc0\x7f")
    elif flaw == "gone":
        published.unlink()
    found = start_in(tmp_path, checkpoint=published)
    assert step_of(found) == 250
    assert "unusable: going on from step 250" in said(found[1])


def test_an_unusable_published_checkpoint_alone_means_the_beginning(tmp_path: Path) -> None:
    published = tmp_path / "published.safetensors"
    published.write_bytes(lora_bytes(step=500)[:100])
    found = start_in(tmp_path, checkpoint=published)
    assert step_of(found) is None
    assert "starting from the beginning" in said(found[1])


def test_the_optimizers_state_is_kept_and_its_absence_is_said(tmp_path: Path) -> None:
    save(tmp_path, 250)
    assert "The optimizer's state is not there and starts anew." in said(start_in(tmp_path)[1])
    (bench(tmp_path).saves / "optimizer.pt").write_bytes(b"moments")
    assert "optimizer" not in said(start_in(tmp_path)[1])
