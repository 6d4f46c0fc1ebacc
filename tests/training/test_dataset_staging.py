from pathlib import Path
from typing import Any

import pytest

from jobs.errors import EngineFailed
from jobs.events import Log, Tick
from tests.training.aitoolkit_fixtures import order_in, paint
from training.engines.aitoolkit.dataset import stage_dataset
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
    stage(order_in(tmp_path, captions=(None,)), tmp_path / "dataset")
    before = {path.name for path in (tmp_path / "dataset").iterdir()}
    order = order_in(tmp_path, captions=(None,))
    paint(order.images[0].path, shade=200)
    stage(order, tmp_path / "dataset")
    assert before.isdisjoint(path.name for path in (tmp_path / "dataset").iterdir())


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


def test_a_caption_that_is_no_valid_text_is_still_valid_utf8(tmp_path: Path) -> None:
    assert caption_given(tmp_path, "natural", "sks person \ud800") == "sks person ?"


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
    for _ in range(len(order.images) + 1):
        next(killed)
    killed.close()
    assert not folder.exists()
    stage(order, folder)
    assert len(list(folder.iterdir())) == 6
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
    fields = {name: getattr(order, name) for name in order.__slots__}
    return TrainingOrder(**{**fields, "images": (SourceImage(path=path, caption=None),)})
