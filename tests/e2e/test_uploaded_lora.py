"""A LoRA that was trained elsewhere: uploaded, generated with, protected while in use, checked, deleted."""

import io
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
import requests
from PIL import Image

from tests.api_client import Api
from tests.characters.lora_making import lora_bytes
from tests.conftest import wait_until
from tests.stack import ROOT, Stack

pytestmark = pytest.mark.stack


def _upload(api: Api, weight: float) -> dict:
    file = ("My Style.safetensors", lora_bytes(weight), "application/octet-stream")
    form = {"name": "My style", "trigger_word": "my style"}
    return api.call("POST", "/api/loras/upload", expect=201, files={"file": file}, data=form).json()


def _pixels(api: Api, **config: object) -> bytes:
    job = api.wait_for(api.generate(seed=11, **config))
    assert job["status"] == "completed", job
    answer = api.call("GET", f"/api/outputs/{job['output_paths'][0]}")
    with Image.open(io.BytesIO(answer.content)) as picture:
        return picture.tobytes()


@contextmanager
def _hanging_generation(api: Api, stack: Stack, lora: str) -> Iterator[str]:
    """A generation with the LoRA that is at work until the end of the block, and is cancelled then."""
    stack.spoil_comfyui("hang")
    job = api.generate(lora_id=lora)
    try:
        yield job
    finally:
        api.cancel(job)
        stack.spoil_comfyui()


def _verify(stack: Stack) -> list[dict]:
    command = [sys.executable, "manage.py", "loras", "verify", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=stack.environment, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_an_uploaded_lora_changes_the_picture_until_it_is_deleted(api: Api, stack: Stack) -> None:
    lora = _upload(api, 0.25)
    assert lora["id"] in [listed["id"] for listed in api.get("/api/loras")["loras"]]
    plain, styled = _pixels(api), _pixels(api, lora_id=f"uploaded:{lora['id']}")
    assert styled != plain
    assert styled == _pixels(api, lora_id=lora["id"])
    api.call("DELETE", f"/api/loras/{lora['id']}")
    assert not (stack.data_dir / lora["path"].removeprefix("/data/")).exists()
    body = {"config": {"prompt": "a portrait", "lora_id": f"uploaded:{lora['id']}"}}
    api.call("POST", "/api/generation", expect=404, json=body)


def test_a_lora_in_use_stays_until_its_generation_is_over(api: Api, stack: Stack) -> None:
    lora = _upload(api, 0.5)
    with _hanging_generation(api, stack, lora["id"]) as job:
        api.wait_for(job, "running")
        refused = api.call("DELETE", f"/api/loras/{lora['id']}", expect=409).json()
        assert job in refused["detail"]
    # Its status tells a moment earlier than ComfyUI that it is over.
    wait_until(lambda: requests.delete(f"{stack.url}/api/loras/{lora['id']}", timeout=60).ok, what="the deletion")


def test_what_was_trained_and_what_was_uploaded_passes_verification(api: Api, stack: Stack) -> None:
    uploaded = _upload(api, 0.75)
    character = api.make_character()
    api.wait_for(api.train(character))
    verdicts = {verdict["key"]: verdict for verdict in _verify(stack)}
    assert {uploaded["path"], f"/data/loras/{character}/v1.safetensors"} <= {f"/data/{key}" for key in verdicts}
    assert all(verdict["is_intact"] for verdict in verdicts.values()), verdicts


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(stack: Stack) -> None:
    address = urlsplit(stack.url)
    head = (
        "POST /api/loras/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 600000000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        connection.sendall(head.encode() + b"--x\r\n")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 ")
