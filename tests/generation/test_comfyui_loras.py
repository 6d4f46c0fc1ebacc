"""The LoRA reaches the server, or the person is told which server does not see it and what to do."""

import io
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import LazySettings

from characters import files
from generation.engines.comfyui import generate
from generation.engines.comfyui.client import Client
from generation.engines.comfyui.lora_visibility import LoraVisibility
from generation.engines.order import LoraFile
from jobs.errors import EngineAtFault, EngineFailed
from tests.generation.comfyui_fixtures import (
    DEADLINE_SECONDS,
    QUICK,
    StandIn,
    artifacts,
    order_for,
    read_until,
    run_order,
    running_stand_in,
)
from tests.generation.network_fixtures import ScriptedServer
from tests.generation.simulator_process import lora_bytes

LORA = LoraFile(name="char-1/v1.safetensors", strength=1.0)


def _write_lora(server: StandIn) -> None:
    path = server.loras / LORA.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lora_bytes())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StandIn]:
    with running_stand_in(tmp_path) as stand_in:
        yield stand_in


def test_a_lora_that_shows_a_little_late_is_waited_for(server: StandIn, tmp_path: Path) -> None:
    events = generate(order_for(server.url, tmp_path / "work", loras=(LORA,)), limits=replace(QUICK, lora_seconds=60.0))
    asked_at = time.monotonic()
    read_until(events, lambda _: time.monotonic() - asked_at > 0.8)
    assert server.queued_ids() == set()
    _write_lora(server)
    assert len(artifacts(events)) == 1


def test_a_server_that_does_not_see_the_lora_is_named_with_what_to_do(server: StandIn, tmp_path: Path) -> None:
    with pytest.raises(EngineAtFault) as failure:
        run_order(order_for(server.url, tmp_path / "work", loras=(LORA,)))
    assert f"127.0.0.1:{server.port}" in str(failure.value)
    assert LORA.name in str(failure.value)
    assert "comfyui_paths" in str(failure.value)
    assert not failure.value.is_broken


def test_a_lora_folder_that_was_deleted_is_said_to_be_that(server: StandIn, tmp_path: Path) -> None:
    _write_lora(server)
    with closing(Client(server.url)) as client:
        assert LORA.name in client.models("loras")
    shutil.rmtree(server.loras)
    with pytest.raises(EngineFailed, match="LoRA folder may have been deleted"):
        run_order(order_for(server.url, tmp_path / "work", loras=(LORA,)))


def test_a_server_on_windows_is_asked_in_its_own_spelling() -> None:
    with (
        ScriptedServer({"GET /models": (200, ["char-1\\v1.safetensors"])}).running() as server,
        closing(Client(server.url)) as client,
    ):
        found = LoraVisibility((LORA,), host="h", grace_seconds=0).find(client)
    assert found == (LoraFile(name="char-1\\v1.safetensors", strength=1.0),)


class _Slow(io.BytesIO):
    """Content that arrives only when it is let through."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.reached, self.go_on = threading.Event(), threading.Event()

    def read(self, size: int | None = -1) -> bytes:
        self.reached.set()
        self.go_on.wait(DEADLINE_SECONDS)
        return super().read(size)


def test_a_lora_that_is_being_written_is_not_listed(server: StandIn, settings: LazySettings) -> None:
    settings.MEDIA_ROOT = server.loras.parent
    content = _Slow(b"x" * 100)
    writer = threading.Thread(target=files.publish, args=("loras/char-2/v1.safetensors", content))
    writer.start()
    with closing(Client(server.url)) as client:
        assert content.reached.wait(DEADLINE_SECONDS)
        assert client.models("loras") == ()
        content.go_on.set()
        writer.join()
        assert client.models("loras") == ("char-2/v1.safetensors",)
