"""What the frames of ComfyUI's socket mean."""

import json
import struct

import pytest

from generation.engines.comfyui.messages import Ended, Executing, PreviewFrame, QueueChanged, Stepped, parse_frame


def _text(event: str, **data: object) -> str:
    return json.dumps({"type": event, "data": data})


def _preview(event: int, metadata: bytes, image: bytes) -> bytes:
    return struct.pack(">II", event, len(metadata)) + metadata + image


def test_a_status_says_that_the_queue_changed() -> None:
    frame = _text("status", status={"exec_info": {"queue_remaining": 1}}, sid="abc")
    assert parse_frame(frame) == QueueChanged()


def test_a_start_and_a_node_say_that_a_prompt_executes() -> None:
    assert parse_frame(_text("execution_start", prompt_id="p", timestamp=1)) == Executing(prompt_id="p")
    node = _text("executing", node="13", display_node="13", prompt_id="p")
    assert parse_frame(node) == Executing(prompt_id="p", node="13")


def test_progress_counts_steps_of_a_node() -> None:
    message = parse_frame(_text("progress", value=2, max=4, prompt_id="p", node="13"))
    assert isinstance(message, Stepped)
    assert (message.prompt_id, message.node, message.value, message.max) == ("p", "13", 2, 4)


def test_each_way_to_end_is_an_end() -> None:
    for event in ("execution_success", "execution_error", "execution_interrupted"):
        assert parse_frame(_text(event, prompt_id="p", node_id="4")) == Ended(prompt_id="p")
    assert parse_frame(_text("executing", node=None, prompt_id="p")) == Ended(prompt_id="p")


def test_a_preview_says_whose_it_is() -> None:
    metadata = json.dumps({"node_id": "13", "prompt_id": "p", "image_type": "image/jpeg"}).encode()
    message = parse_frame(_preview(4, metadata, b"picture"))
    assert message == PreviewFrame(prompt_id="p", image_type="image/jpeg", image=b"picture")


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "junk",
        "[]",
        "{}",
        '{"type": "progress"}',
        '{"type": "progress", "data": {"value": 1}}',
        '{"type": "executing", "data": {"node": "13"}}',
        '{"type": "executing", "data": {"node": null}}',
        '{"type": "kaytool.resources", "data": {}}',
        b"",
        b"\x00\x00\x00\x04",
        _preview(1, b"", b"a picture of nobody knows whom"),
        _preview(4, b"junk", b"picture"),
        struct.pack(">II", 4, 2**31) + b"short",
    ],
)
def test_whatever_else_comes_means_nothing(frame: str | bytes) -> None:
    assert parse_frame(frame) is None
