"""Previews: small, few, and of a certain image."""

import io
import json
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from generation.engines.comfyui import generate
from generation.engines.comfyui.messages import NamelessPreview, PreviewFrame, parse_frame
from generation.engines.comfyui.previews import MAX_PREVIEW_BYTES, PreviewBox, shrink
from jobs.events import Event, Preview, Progress
from tests.generation.comfyui_fixtures import (
    QUICK,
    StandIn,
    order_for,
    read_step_by_step,
    read_until,
    running_stand_in,
)


def _picture(kind: str, size: tuple[int, int]) -> bytes:
    content = io.BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(content, kind)
    return content.getvalue()


def _frame(image: bytes, image_type: str = "image/jpeg", prompt_id: str = "p") -> PreviewFrame:
    return PreviewFrame(prompt_id=prompt_id, image_type=image_type, image=image)


def test_a_small_picture_is_passed_on_as_it_is() -> None:
    frame = _frame(_picture("JPEG", (64, 64)))
    assert shrink(frame) == frame


@pytest.mark.parametrize(("kind", "image_type"), [("JPEG", "image/jpeg"), ("PNG", "image/png")])
def test_a_large_picture_becomes_a_small_jpeg(kind: str, image_type: str) -> None:
    small = shrink(_frame(_picture(kind, (1500, 1000)), image_type))
    assert small is not None
    assert small.image_type == "image/jpeg"
    assert len(small.image) <= MAX_PREVIEW_BYTES
    with Image.open(io.BytesIO(small.image)) as picture:
        assert picture.format == "JPEG"
        assert picture.width > picture.height >= 64


@pytest.mark.parametrize(
    ("image", "image_type"),
    [
        (b"", "image/jpeg"),
        (b"<html>", "image/jpeg"),
        (_picture("PNG", (8, 8)), "image/jpeg"),
        (_picture("JPEG", (8, 8)), "image/svg+xml"),
        (_picture("JPEG", (900, 900))[:60_000], "image/jpeg"),
        (_picture("PNG", (5000, 4)), "image/png"),
    ],
    ids=str.split("empty page disguised unknown truncated too-wide"),
)
def test_anything_else_is_dropped(image: bytes, image_type: str) -> None:
    assert shrink(_frame(image, image_type)) is None


def test_only_the_newest_preview_waits_and_the_next_one_not_before_its_time() -> None:
    eager, patient = PreviewBox(0.0), PreviewBox(60.0)
    for number in range(3):
        frame = _frame(_picture("JPEG", (8, 8)), prompt_id=str(number))
        eager.put(frame)
        patient.put(frame)
    assert [box.take() and "taken" for box in (eager, patient)] == ["taken", "taken"]
    assert eager.take() is None
    eager.put(_frame(_picture("JPEG", (8, 8)), prompt_id="newest"))
    newest = eager.take()
    assert newest is not None
    assert newest.prompt_id == "newest"


@pytest.mark.parametrize(("number", "image_type"), [(1, "image/jpeg"), (2, "image/png")])
def test_an_older_server_does_not_say_whose_preview_it_is(number: int, image_type: str) -> None:
    message = parse_frame(struct.pack(">II", 1, number) + b"picture")
    assert message == NamelessPreview(image_type=image_type, image=b"picture")


def test_an_unknown_format_is_no_preview() -> None:
    assert parse_frame(struct.pack(">II", 1, 9) + b"picture") is None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with running_stand_in(tmp_path_factory.mktemp("stand-in")) as stand_in:
        yield stand_in


def _indexes(server: StandIn, folder: Path, job_id: str) -> set[tuple[int | None, int]]:
    """Return which image each preview was said to be of, with the image that was sampled then."""
    order = order_for(server.url, folder, job_id=job_id, count=2, steps=50)
    events = generate(order, limits=QUICK)
    seen, step = set(), 0

    def is_seen(event: Event, *, image: int) -> bool:
        nonlocal step
        if isinstance(event, Progress):
            step = event.step or 0
        if isinstance(event, Preview):
            seen.add((event.image_index, min(step, 99) // 50))
        return (image, image) in seen

    with server.hold.after_steps(10):
        read_until(events, partial(is_seen, image=0))
        server.hold.go_on_to(51)
        read_step_by_step(events, server.hold, partial(is_seen, image=1))
    for event in events:
        is_seen(event, image=1)
    return seen


def test_each_preview_says_of_which_image_it_is(server: StandIn, tmp_path: Path) -> None:
    seen = _indexes(server, tmp_path, "gen-preview-of")
    assert {(0, 0), (1, 1)} <= seen
    assert {index for index, _ in seen} == {0, 1}


def test_previews_of_a_server_without_feature_flags_are_attributed(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation.engines.comfyui.socket.FEATURES", json.dumps({"type": "nothing"}))
    seen = _indexes(server, tmp_path, "gen-preview-old")
    assert {(0, 0), (1, 1)} <= seen
    assert {index for index, _ in seen} == {0, 1}
