"""What is left on a server that was out of reach, while its jobs went on elsewhere."""

import socket
import zlib
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.utils import timezone

from generation import strays
from generation.engines.comfyui.client import Client
from generation.engines.comfyui.prompt_ids import PromptTag, prompt_id_of
from generation.engines.comfyui.workflow import build_graph
from generation.kind import GenerationKind
from generation.params import GenerationParams
from generation.servers import reachable
from jobs.models import GpuLease, Job, Slot, Status
from tests.generation.comfyui_fixtures import StandIn, running_stand_in, wait_until
from tests.jobs.fakes import this_process
from tests.stack import free_port

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StandIn]:
    with running_stand_in(tmp_path) as stand_in:
        yield stand_in


def _slot(engine: str, **fields: object) -> Slot:
    gpu = GpuLease.objects.create(host="here", gpu="0")
    return Slot.objects.create(name="here", kind="generation", capacity=2, gpu=gpu, engine=engine, **fields)


def _job(job_id: str, *, slot: str, attempt: int = 1, **fields: object) -> None:
    held = {"token": "t", "holder": {"worker": this_process()}} if slot else {}
    row = {"kind": "generation", "status": Status.QUEUED, "config": {"model_variant": "flux-dev"}}
    Job.objects.create(**row | held | {"id": job_id, "slot": slot, "attempt": attempt} | fields)


def _queue(server: StandIn, job_id: str, *, attempt: int = 1) -> str:
    tag = PromptTag(job=job_id, attempt=attempt, image=0)
    params = GenerationParams(prompt="x", width=512, height=512, steps=100)
    graph = build_graph(params, (), seed=zlib.crc32(job_id.encode()), prefix=f"stray/{job_id}")
    with closing(Client(server.url)) as client:
        client.submit(graph, prompt_id=prompt_id_of(tag), client_id="x", tag=tag)
    return prompt_id_of(tag)


def test_only_prompts_of_our_jobs_that_nobody_waits_for_are_taken_back(server: StandIn) -> None:
    slot = _slot(server.url)
    _job("gen-elsewhere", slot="there", attempt=2)
    _job("gen-waiting", slot="")
    _job("gen-again", slot="here", attempt=2)
    _job("gen-held", slot="here")
    with server.hold.after_steps(1):
        strayed = [_queue(server, job) for job in ("gen-elsewhere", "gen-waiting", "gen-again")]
        kept = {_queue(server, "gen-held"), _queue(server, "gen-of-another-installation")}
        strays.take_back(slot)
        assert server.queued_ids() == kept
    assert not kept & set(strayed)


def test_a_server_that_cannot_be_asked_is_left_alone() -> None:
    strays.take_back(_slot(f"http://127.0.0.1:{free_port()}"))


def test_a_job_is_let_go_once_its_server_was_out_of_reach_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation.engines.comfyui.withdrawal.LEFTOVER_SECONDS", 0.1)
    monkeypatch.setitem(Client.__init__.__kwdefaults__, "read_seconds", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        slot = _slot(url)
        _job("gen-stuck", slot="here")
        job = Job.objects.get(pk="gen-stuck")
        job.holder = {"engine": {"server": url, "prompts": ["p"]}}
        assert not GenerationKind().stop_leftover(job)
        Slot.objects.filter(pk=slot.pk).update(away_since=timezone.now() - timedelta(minutes=1))
        assert GenerationKind().stop_leftover(job)


def test_an_address_is_stored_without_its_password_and_used_with_it(settings: LazySettings) -> None:
    settings.COMFYUI_URLS = ("http://gpu-1:8188#gpu=1", "http://ann:sesame@gpu-2:8188/comfy/#gpu=0")
    one, other = GenerationKind().slots()
    assert (one.name, one.engine, one.gpu_host, one.gpu) == (
        "generation@http://gpu-1:8188",
        "http://gpu-1:8188",
        "gpu-1",
        "1",
    )
    assert (other.name, other.engine) == ("generation@http://gpu-2:8188/comfy", "http://gpu-2:8188/comfy")
    assert reachable(other.engine) == "http://ann:sesame@gpu-2:8188/comfy"
    assert reachable("http://gone:1") == "http://gone:1"


def test_a_slot_that_is_back_is_tidied_up(server: StandIn) -> None:
    slot = _slot(server.url)
    _job("gen-old", slot="")
    with server.hold.after_steps(1):
        _queue(server, "gen-old")
        GenerationKind().welcome_back(slot)
        wait_until(lambda: server.queued_ids() == set(), "the prompt is taken back")
