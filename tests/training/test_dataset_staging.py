import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import EngineFailed
from jobs.events import Log, Tick
from tests.training.aitoolkit_fixtures import PROJECT, order_in, paint
from training.engines.aitoolkit.dataset import stage_dataset
from training.engines.aitoolkit.manifest import read_manifest, titles_by_name
from training.engines.order import SourceImage, TrainingOrder


def stage(order: TrainingOrder, folder: Path) -> list[Log]:
    staging = stage_dataset(order, folder)
    while True:
        try:
            assert isinstance(next(staging), Tick)
        except StopIteration as stop:
            logs: list[Log] = stop.value
            return logs


def captions_of(folder: Path) -> list[str]:
    return sorted(path.read_text(encoding="utf-8") for path in folder.glob("*.txt"))


def pictures_in(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.png")}


def caption_given(tmp_path: Path, strategy: str, own: str | None, **extra: Any) -> str:
    stage(order_in(tmp_path, captions=(own,), caption_strategy=strategy, **extra), tmp_path / "dataset")
    return captions_of(tmp_path / "dataset")[0]


def test_each_picture_gets_a_caption_file_and_a_name_from_its_content(tmp_path: Path) -> None:
    order = order_in(tmp_path)
    stage(order, tmp_path / "dataset")
    pictures = {path.stem: path.read_bytes() for path in (tmp_path / "dataset").glob("*.png")}
    assert {path.stem for path in (tmp_path / "dataset").glob("*.txt")} == pictures.keys()
    assert sorted(pictures.values()) == sorted(image.path.read_bytes() for image in order.images)


def test_another_picture_under_an_old_name_gets_a_new_name(tmp_path: Path) -> None:
    stage(order_in(tmp_path, captions=(None,)), tmp_path / "one")
    order = order_in(tmp_path, captions=(None,))
    paint(order.images[0].path, shade=200)
    stage(order, tmp_path / "two")
    assert pictures_in(tmp_path / "one").isdisjoint(pictures_in(tmp_path / "two"))


@pytest.mark.parametrize(
    ("strategy", "own", "caption"),
    [
        ("trigger_only", "a woman in red", "a photo of sks person"),
        ("natural", "a woman in red", "sks person, a woman in red"),
        ("natural", "portrait of sks person\n  smiling", "portrait of sks person smiling"),
        ("natural", "portrait of [trigger]", "portrait of sks person"),
        ("natural", "the [name] of it", "sks person, the (name) of it"),
        ("natural", None, "a photo of sks person"),
        ("natural", "  \n", "a photo of sks person"),
        ("tags", "smile, , sks person", "sks person, smile"),
        ("tags", None, "a photo of sks person"),
    ],
)
def test_a_caption_follows_the_strategy(strategy: str, own: str | None, caption: str, tmp_path: Path) -> None:
    assert caption_given(tmp_path, strategy, own) == caption


def test_a_trigger_word_inside_another_word_does_not_count(tmp_path: Path) -> None:
    assert caption_given(tmp_path, "natural", "planning a trip", trigger_word="ann") == "ann, planning a trip"


def test_tags_are_shuffled_the_same_way_each_time_with_the_trigger_first(tmp_path: Path) -> None:
    tags = [f"tag{index}" for index in range(12)]
    first = caption_given(tmp_path / "one", "tags", ", ".join(tags)).split(", ")
    assert first[0] == "sks person"
    assert sorted(first[1:]) == sorted(tags)
    assert first[1:] != tags
    assert caption_given(tmp_path / "two", "tags", ", ".join(tags)).split(", ") == first


def test_the_log_says_how_many_pictures_had_no_caption(tmp_path: Path) -> None:
    order = order_in(tmp_path, captions=("a hat", None, ""), caption_strategy="natural")
    warnings = [log.message for log in stage(order, tmp_path / "dataset") if log.level == "WARNING"]
    assert warnings == ["2 of 3 images have no caption: they use trigger_only instead of natural."]


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ("sks person \ud800", r"The caption of 0\.png is no valid text"),
        ("ü" * 10_000, r"The caption of 0\.png has 20012 bytes; at most 20000 do"),
    ],
)
def test_a_caption_that_the_engine_could_not_read_is_named(own: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match=said):
        caption_given(tmp_path, "natural", own)


def test_staging_again_leaves_the_same_content_and_its_caches_alone(tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    order = order_in(tmp_path)
    stage(order, folder)
    (folder / "_latent_cache").mkdir()
    before = {path: path.stat().st_ctime_ns for path in folder.iterdir()}
    stage(order, folder)
    assert {path: path.stat().st_ctime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize("change", ["caption", "picture", "missing caption", "truncated picture", "stray picture"])
def test_a_folder_that_differs_is_replaced_as_a_whole(change: str, tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    stage(order_in(tmp_path), folder)
    (folder / "_latent_cache").mkdir()
    order = order_in(tmp_path)
    {
        "caption": lambda: next(folder.glob("*.txt")).write_text("other"),
        "picture": lambda: next(folder.glob("*.png")).unlink(),
        "missing caption": lambda: next(folder.glob("*.txt")).unlink(),
        "truncated picture": lambda: next(folder.glob("*.png")).write_bytes(b""),
        "stray picture": lambda: paint(folder / "stray.png"),
    }[change]()
    stage(order, folder)
    assert captions_of(folder) == ["a photo of sks person"] * 3
    assert len(list(folder.glob("*.png"))) == 3
    assert not (folder / "_latent_cache").exists()


def test_what_a_killed_attempt_left_half_staged_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    order = order_in(tmp_path)
    killed = stage_dataset(order, folder)
    for _ in order.images:
        next(killed)
    killed.close()
    assert not folder.exists()
    stage(order, folder)
    assert len(list(folder.iterdir())) == 7
    assert [path.name for path in tmp_path.glob("dataset*")] == ["dataset"]


def test_pictures_that_occur_twice_count_once_and_the_log_says_so(tmp_path: Path) -> None:
    order = order_in(tmp_path)
    paint(order.images[1].path, shade=0)
    assert any("1 images occur twice" in log.message for log in stage(order, tmp_path / "dataset"))
    assert len(list((tmp_path / "dataset").glob("*.png"))) == 2


def test_no_pictures_are_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match="upload"):
        stage(order_in(tmp_path, captions=()), tmp_path / "dataset")


def test_a_file_that_the_engine_would_silently_skip_is_refused(tmp_path: Path) -> None:
    order = order_in(tmp_path)
    image = order.images[0]
    image.path.with_suffix(".bmp").write_bytes(image.path.read_bytes())
    with pytest.raises(EngineFailed, match="neither JPEG"):
        list(stage_dataset(_with_image(order, image.path.with_suffix(".bmp")), tmp_path / "dataset"))


def test_a_picture_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match=r"gone\.png"):
        list(stage_dataset(_with_image(order_in(tmp_path), tmp_path / "gone.png"), tmp_path / "dataset"))


def _with_image(order: TrainingOrder, path: Path) -> TrainingOrder:
    return replace(order, images=(SourceImage(path=path, caption=None),))


def test_what_becomes_of_the_images_later_changes_nothing_for_the_next_attempt(tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    order = order_in(tmp_path, captions=("a hat", None), caption_strategy="natural")
    stage(order, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    paint(order.images[0].path, shade=200)
    order.images[1].path.unlink()
    edited = order_in(tmp_path / "other", captions=("another hat", "a coat", "a scarf"), caption_strategy="natural")
    first_hash = read_manifest(folder).dataset_hash
    remarks = stage(replace(edited, dataset_hash=first_hash), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [remark.level for remark in remarks] == ["INFO"]
    assert stage(replace(order, images=()), folder)


def test_another_dataset_than_the_attempt_before_had_is_warned_of(tmp_path: Path) -> None:
    order = order_in(tmp_path, captions=("a hat", None), caption_strategy="natural")
    stage(order, tmp_path / "here")
    first_hash = read_manifest(tmp_path / "here").dataset_hash
    again = stage(replace(order, dataset_hash=first_hash), tmp_path / "elsewhere")
    edited = order_in(tmp_path, captions=("a cap", None), caption_strategy="natural")
    other = stage(replace(edited, dataset_hash=first_hash), tmp_path / "far")
    assert not any("not those" in remark.message for remark in again)
    assert [remark.level for remark in other if "not those of the attempt before" in remark.message] == ["WARNING"]


def test_the_hash_is_that_of_the_sorted_digests_of_pictures_and_captions(tmp_path: Path) -> None:
    order = order_in(tmp_path, captions=("a hat", None), caption_strategy="natural")
    (remark, *_) = stage(order, tmp_path / "dataset")
    captions = ("sks person, a hat", "a photo of sks person")
    pairs = [(image.path.read_bytes(), text.encode()) for image, text in zip(order.images, captions, strict=True)]
    lines = sorted(f"{sha256(picture).hexdigest()} {sha256(caption).hexdigest()}\n" for picture, caption in pairs)
    expected = sha256("".join(lines).encode()).hexdigest()
    assert remark.fields["dataset"] == {
        "hash": expected,
        "image_count": 2,
        "caption_strategy": "natural",
        "image_ids": [],
    }
    assert expected[:12] in remark.message


def test_the_order_of_the_images_is_nothing_to_the_hash_and_a_caption_is(tmp_path: Path) -> None:
    def hash_of(order: TrainingOrder, name: str) -> str:
        stage(order, tmp_path / name)
        return read_manifest(tmp_path / name).dataset_hash

    order = order_in(tmp_path, captions=("a hat", "a coat"), caption_strategy="natural")
    first = hash_of(order, "one")
    assert hash_of(replace(order, images=order.images[::-1]), "two") == first
    swapped = order_in(tmp_path, captions=("a coat", "a hat"), caption_strategy="natural")
    assert hash_of(swapped, "three") != first


def test_a_stored_picture_that_changed_since_its_upload_is_named(tmp_path: Path) -> None:
    order = order_in(tmp_path, captions=(None,))
    image = replace(order.images[0], name="holiday.png", sha256="0" * 64)
    with pytest.raises(EngineFailed, match=r"holiday\.png is damaged: delete it and upload it again"):
        stage(replace(order, images=(image,)), tmp_path / "dataset")
    sound = replace(image, sha256=sha256(image.path.read_bytes()).hexdigest())
    stage(replace(order, images=(sound,)), tmp_path / "dataset")
    assert list(titles_by_name(tmp_path / "dataset").values()) == ["holiday.png"]


def test_a_picture_that_cannot_be_read_is_named_as_its_owner_knows_it(tmp_path: Path) -> None:
    order = order_in(tmp_path, captions=(None,))
    gone = replace(order.images[0], name="holiday.png", path=tmp_path / "0a1b.png")
    with pytest.raises(EngineFailed, match=r"holiday\.png cannot be read: No such file or directory"):
        stage(replace(order, images=(gone,)), tmp_path / "dataset")


def test_a_full_disk_is_said_in_a_sentence_and_leaves_nothing_that_fills_it(tmp_path: Path) -> None:
    order = order_in(tmp_path, captions=(None,))
    script = tmp_path / "stage.py"
    script.write_text(STAGING_ON_A_FULL_DISK)
    said = subprocess.run(
        [sys.executable, script, order.images[0].path, tmp_path / "dataset"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(PROJECT)},
    )
    assert said.stdout.startswith("The disk is full, so the training images cannot be copied: free some space")
    assert list(tmp_path.glob("dataset*")) == []


# A limit on the size of a file fails a write as a full disk does, with another number.
STAGING_ON_A_FULL_DISK = """
import errno, pathlib, resource, signal, sys
from jobs.errors import EngineFailed
from jobs.events import Controls
from training.engines.aitoolkit import dataset
from training.engines.order import SourceImage, TrainingOrder
from training.params import TrainingParams

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
dataset._FULL = (*dataset._FULL, errno.EFBIG)
image, folder = map(pathlib.Path, sys.argv[1:])
order = TrainingOrder(
    job_id="j", attempt=1, params=TrainingParams(), base_model="flux-dev", trigger_word="sks", workspace=folder,
    images=(SourceImage(path=image, caption=None),), controls=Controls(), checkpoint=None,
)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
try:
    list(dataset.stage_dataset(order, folder))
except EngineFailed as failed:
    print(failed)
"""
