"""Only the server's queue and history count: what was said on the way, late, twice or by halves does not."""

import socket
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from generation.engines.comfyui import Limits, generate
from generation.engines.comfyui.answers import HistoryEntry
from generation.engines.comfyui.client import Client
from generation.engines.comfyui.truth import PromptState, judge, look
from jobs.errors import EngineAtFault, EngineUnavailable
from jobs.events import Finished, Holding
from tests.generation.comfyui_fixtures import (
    QUICK,
    answering_server,
    artifacts,
    is_sampling,
    log_events,
    order_for,
    prompt_id,
    read_until,
    run_order,
    running_stand_in,
)
from tests.generation.network_fixtures import Answer, ScriptedServer

BRISK = Limits(
    poll_seconds=0.1,
    hinted_poll_seconds=0.05,
    connect_seconds=0.1,
    absent_seconds=0.2,
    settle_seconds=0.4,
)
# Gives up soon a server that is not there.
IMPATIENT = replace(BRISK, refused_seconds=0.5, away_seconds=1.0, cancel_seconds=0.5)
EMPTY_QUEUE = {"queue_running": [], "queue_pending": []}
# What a server is asked before a prompt is handed in, answered as if it had nothing to tell.
QUIET: dict[str, Answer] = {
    "GET /queue": (200, EMPTY_QUEUE),
    "GET /history": (200, {}),
    "GET /object_info": (200, {}),
    "GET /models": (200, []),
    "POST /queue": (200, b""),
    "POST /interrupt": (200, b""),
}


def _scripted(answers: dict[str, Answer]) -> ScriptedServer:
    return ScriptedServer(QUIET | answers)


def _entry(status: str, *messages: tuple[str, dict[str, object]], outputs: object = None) -> HistoryEntry:
    told = {"status_str": status, "completed": status == "success", "messages": messages}
    return HistoryEntry.model_validate({"outputs": outputs or {}, "status": told})


def test_what_was_saved_before_a_failure_is_not_the_image() -> None:
    saved = {"15": {"images": [{"filename": "half.png"}]}}
    verdict = judge(_entry("error", ("execution_error", {"node_type": "VAEDecode"}), outputs=saved), {"15"})
    assert verdict.state is PromptState.FAILED
    assert verdict.files == ()
    assert verdict.error.node_type == "VAEDecode"


def test_an_interruption_is_told_from_a_failure_by_its_last_message() -> None:
    assert judge(_entry("error", ("execution_interrupted", {})), {"15"}).state is PromptState.INTERRUPTED
    assert judge(_entry("error"), {"15"}).state is PromptState.FAILED


def test_a_prompt_that_ends_between_two_questions_does_not_look_lost() -> None:
    """After the first question, whichever it is, the prompt is no longer in the queue but in the history."""
    asked: list[str] = []
    entry = {"outputs": {}, "status": {"status_str": "success", "completed": True, "messages": []}}

    def queue(path: str, _: Any) -> tuple[int, object]:
        asked.append(path)
        running = [[0, "p", {}, {}, []]] if len(asked) == 1 else []
        return 200, {"queue_running": running, "queue_pending": []}

    def history(path: str, _: Any) -> tuple[int, object]:
        asked.append(path)
        return 200, {} if len(asked) == 1 else {"p": entry}

    with (
        ScriptedServer({"GET /queue": queue, "GET /history": history}).running() as server,
        closing(Client(server.url)) as client,
    ):
        states = [look(client, {"p": {"15"}}).verdicts["p"].state for _ in range(2)]
    assert states == [PromptState.RUNNING, PromptState.DONE]


def test_only_the_saving_node_is_read_whatever_others_put_out() -> None:
    outputs = {"7": {"images": ["data:image/png;base64,"]}, "15": {"images": [{"filename": "a.png"}]}}
    verdict = judge(_entry("success", outputs=outputs), {"15"})
    assert [file.filename for file in verdict.files] == ["a.png"]
    assert judge(_entry("success", outputs={"15": {"images": [7]}}), {"15"}).files == ()


def test_the_time_on_the_gpu_is_the_servers_own() -> None:
    messages = ("execution_start", {"timestamp": 1000}), ("execution_success", {"timestamp": 3500})
    assert judge(_entry("success", *messages), {"15"}).seconds == 2.5
    assert judge(_entry("success"), {"15"}).seconds is None


def test_an_acceptance_with_node_errors_is_a_refusal_and_what_was_queued_is_taken_back(tmp_path: Path) -> None:
    errors = {"90": {"class_type": "LoadImage", "errors": [{"type": "x", "message": "Invalid image file"}]}}
    with _scripted({"POST /prompt": (200, {"prompt_id": "x", "node_errors": errors})}).running() as server:
        with pytest.raises(EngineAtFault, match="LoadImage: Invalid image file") as refusal:
            run_order(order_for(server.url, tmp_path, job_id="gen-half"), BRISK)
        assert server.bodies("POST /queue")[-1] == {"delete": [prompt_id("gen-half", 0)]}
    assert not refusal.value.is_broken


def test_a_late_submission_is_taken_back_when_another_prompt_makes_its_image(tmp_path: Path) -> None:
    """The server did not answer in time, and queued the prompt when everybody had given it up."""
    accepted: list[str] = []

    def prompt(_: str, body: Any) -> tuple[int, object]:
        accepted.append(body["prompt_id"])
        return (500, b"500") if len(accepted) == 1 else (200, {"prompt_id": "", "node_errors": {}})

    def queue(_: str, __: Any) -> tuple[int, object]:
        present = [[0, prompt_id, {}, {}, []] for prompt_id in accepted] if len(accepted) > 1 else []
        return 200, {"queue_running": present[:1], "queue_pending": present[1:]}

    with _scripted({"POST /prompt": prompt, "GET /queue": queue}).running() as server:
        events = generate(order_for(server.url, tmp_path, job_id="gen-late"), limits=BRISK)
        read_until(events, lambda _: ("POST /interrupt", {"prompt_id": prompt_id("gen-late", 0)}) in server.asked)
        assert {"delete": [prompt_id("gen-late", 0)]} in server.bodies("POST /queue")
        assert accepted == [prompt_id("gen-late", 0), prompt_id("gen-late", 0, 1)]
        accepted.clear()
        events.close()


def test_a_cancel_waits_for_a_submission_that_was_not_answered(tmp_path: Path) -> None:
    """What lies in a held-up server's buffers is queued after the first look has found nothing."""
    late: list[float] = []

    def queue(_: str, __: Any) -> tuple[int, object]:
        is_there = bool(late) and time.monotonic() - late[0] > 0.1 and ("interrupted" not in marks)
        return 200, {
            "queue_running": [[0, prompt_id("gen-slip", 0), {}, {}, []]] if is_there else [],
            "queue_pending": [],
        }

    marks: set[str] = set()

    def interrupt(_: str, __: Any) -> tuple[int, object]:
        marks.add("interrupted")
        return 200, b""

    answers = {"POST /prompt": (500, b"500"), "GET /queue": queue, "POST /interrupt": interrupt}
    with _scripted(answers).running() as server:
        events = generate(order_for(server.url, tmp_path, job_id="gen-slip"), limits=BRISK)
        read_until(events, lambda event: "engine.away" in log_events([event]))
        late.append(time.monotonic())
        events.close()
    assert marks == {"interrupted"}


@pytest.mark.parametrize("body", [b"<html><body>Sign in</body></html>", b"[]", b""])
def test_a_proxy_that_answers_for_the_server_is_no_server(tmp_path: Path, body: bytes) -> None:
    began = time.monotonic()
    with answering_server(200, body) as url, pytest.raises(EngineUnavailable, match="is not ComfyUI"):
        run_order(order_for(url, tmp_path), IMPATIENT)
    assert time.monotonic() - began < 30


def test_a_server_that_accepts_and_never_answers_gives_the_job_back(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        order = order_for(f"http://127.0.0.1:{mute.getsockname()[1]}", tmp_path)
        began = time.monotonic()
        with pytest.raises(EngineUnavailable, match="cannot be reached"):
            run_order(order, replace(IMPATIENT, read_seconds=0.5))
    assert time.monotonic() - began < 30


def test_a_prompt_that_somebody_deletes_is_made_all_the_same(tmp_path: Path) -> None:
    with running_stand_in(tmp_path / "comfyui") as server:
        events = generate(order_for(server.url, tmp_path, job_id="gen-deleted", count=3, steps=20), limits=QUICK)
        with server.hold.after_steps(1):
            read_until(events, is_sampling)
            deleted_at = time.monotonic()
            server.delete(prompt_id("gen-deleted", 2))
            noticed = read_until(events, lambda event: "engine.resubmitted" in log_events([event]))
            assert time.monotonic() - deleted_at < 30
        rest = noticed + list(events)
        assert {artifact.details["index"] for artifact in artifacts(rest)} == {0, 1, 2}
        assert isinstance(rest[-1], Finished)


def test_a_restarted_server_gets_its_lost_prompts_within_seconds(tmp_path: Path) -> None:
    with running_stand_in(tmp_path / "comfyui") as server:
        limits = Limits(connect_seconds=60.0)
        events = generate(order_for(server.url, tmp_path, job_id="gen-restart", count=2, steps=30), limits=limits)
        with server.hold.after_steps(1):
            read_until(events, is_sampling)
            server.kill()
        server.start()
        up_at = time.monotonic()
        held = read_until(events, lambda event: isinstance(event, Holding))
        assert time.monotonic() - up_at < 30
        assert "engine.resubmitted" in log_events(held)
        assert len(artifacts(held + list(events))) == 2
