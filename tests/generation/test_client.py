"""ComfyUI's HTTP interface: what each answer means, and how long one waits for it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from types import SimpleNamespace
from uuid import NAMESPACE_URL, uuid5

import pytest
from PIL import Image

from generation.engines.comfyui import is_ready, probe
from generation.engines.comfyui.answers import OutputFile, PromptAnswer
from generation.engines.comfyui.client import Client
from generation.engines.comfyui.errors import OutputMissing, ServerAway
from generation.engines.comfyui.nodes import Graph, lora_loader, save_image
from generation.engines.comfyui.prompt_ids import PromptTag
from generation.engines.comfyui.refusals import explain_refusal
from generation.engines.comfyui.truth import PromptState, look
from generation.engines.comfyui.workflow import SAVE, build_graph
from generation.engines.comfyui.workflow.request import MODEL
from generation.engines.order import LoraFile
from generation.params import GenerationParams
from jobs.errors import EngineFailed
from tests.generation.comfyui_fixtures import (
    StandIn,
    answering_server,
    free_port,
    probed,
    running_stand_in,
    wait_until,
)
from tests.generation.network_fixtures import ScriptedServer, proxy_to

TAG = PromptTag(job="gen-1", attempt=1, image=0)
Answering = Callable[[int, str], str]
"""Starts a server that gives one status and text to everything, and returns its address."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with running_stand_in(tmp_path_factory.mktemp("stand-in")) as stand_in:
        yield stand_in


@pytest.fixture
def client(server: StandIn) -> Iterator[Client]:
    with closing(Client(server.url)) as client:
        yield client


@pytest.fixture
def answering() -> Iterator[Answering]:
    with ExitStack() as servers:
        yield lambda status, text: servers.enter_context(answering_server(status, text.encode()))


def _graph(**asked: object) -> Graph:
    wanted = {"prompt": "a photo", "width": 512, "height": 512, "steps": 2} | asked
    return build_graph(GenerationParams.model_validate(wanted), (), seed=1, prefix="client/test")


def _id(name: str) -> str:
    return str(uuid5(NAMESPACE_URL, name))


def _submit(client: Client, graph: Graph, name: str = "prompt-1") -> None:
    client.submit(graph, prompt_id=_id(name), client_id="client-1", tag=TAG)


@pytest.mark.parametrize("variant", ["flux-dev", "flux-schnell"])
def test_the_graph_of_each_model_is_accepted_and_done(client: Client, variant: str) -> None:
    _submit(client, _graph(model_variant=variant), f"prompt-{variant}")
    prompt_id = _id(f"prompt-{variant}")
    wait_until(lambda: client.history(prompt_id) is not None, "the prompt is done")
    verdict = look(client, {prompt_id: {SAVE}}).verdicts[prompt_id]
    assert verdict.state is PromptState.DONE
    assert [file.subfolder for file in verdict.files] == ["client"]


def test_the_fragment_of_the_address_is_not_sent(server: StandIn) -> None:
    with closing(Client(f"{server.url}/#gpu=0")) as client:
        assert client.queue().present == frozenset()


def test_a_lora_that_the_server_cannot_see_is_named_and_nobody_elses(server: StandIn, client: Client) -> None:
    (server.loras / "secret.safetensors").write_bytes(b"")
    graph = build_graph(
        GenerationParams(prompt="x"), [LoraFile(name="char-1/v2.safetensors", strength=1)], seed=1, prefix="p"
    )
    with pytest.raises(EngineFailed, match=r"The LoRA file is not visible to the ComfyUI server: char-1/v2") as refusal:
        _submit(client, graph)
    assert "secret" not in str(refusal.value)


def test_a_missing_model_is_named_with_its_folder(client: Client) -> None:
    graph = _graph()
    graph[MODEL]["inputs"]["unet_name"] = "flux2.safetensors"
    graph["2"]["inputs"]["clip_name1"] = "t6.safetensors"
    with pytest.raises(EngineFailed) as refusal:
        _submit(client, graph)
    assert "lacks the model file flux2.safetensors in its folder models/diffusion_models" in str(refusal.value)
    assert "lacks the model file t6.safetensors in its folder models/text_encoders" in str(refusal.value)


def test_a_node_that_the_server_does_not_know_is_named(client: Client) -> None:
    graph = _graph()
    graph["10"]["class_type"] = "ModelSamplingFlux9"
    with pytest.raises(EngineFailed, match="ModelSamplingFlux9"):
        _submit(client, graph)


def test_any_other_refusal_says_where_and_why(client: Client) -> None:
    graph = _graph()
    graph["7"]["inputs"]["width"] = 100000
    with pytest.raises(EngineFailed, match=r"at EmptySD3LatentImage\.width: Value 100000 bigger than max"):
        _submit(client, graph)


def test_a_graph_of_which_only_a_part_is_accepted_counts_as_refused(client: Client) -> None:
    graph = _graph()
    graph["90"] = lora_loader((MODEL, 0), "nowhere.safetensors", 1.0)
    graph["91"] = {"class_type": "LoadImage", "inputs": {"image": "nowhere.png"}}
    graph["92"] = save_image(("91", 0), "client/other")
    with pytest.raises(EngineFailed, match="LoadImage"):
        _submit(client, graph, "prompt-half")
    client.delete_pending([_id("prompt-half")])
    client.interrupt(_id("prompt-half"))


def test_a_lora_folder_that_was_deleted_is_said_to_be_that() -> None:
    reason = {"type": "exception_during_inner_validation", "message": "Exception when validating inner node"}
    answer = PromptAnswer.model_validate(
        {"node_errors": {"40": {"class_type": "LoraLoaderModelOnly", "errors": [reason]}}}
    )
    assert "its LoRA folder may have been deleted" in explain_refusal(answer)


def test_a_refusal_without_a_reason_is_still_a_sentence() -> None:
    assert explain_refusal(PromptAnswer.model_validate({"node_errors": []})).endswith("it did not say why.")


def test_a_server_that_does_not_run_refuses() -> None:
    with closing(Client(f"http://127.0.0.1:{free_port()}")) as client, pytest.raises(ServerAway) as away:
        client.queue()
    assert away.value.is_refused
    assert away.value.is_retryable


def test_a_server_that_does_not_answer_is_given_up_in_bounded_time() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as deaf,
        closing(Client(f"http://127.0.0.1:{deaf.getsockname()[1]}", read_seconds=0.2)) as client,
        pytest.raises(ServerAway) as away,
    ):
        client.queue()
    assert not away.value.is_refused


def _drip(connection: socket.socket) -> None:
    """Promise a kilobyte and send it byte by byte."""
    with connection, suppress(OSError):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            connection.sendall(b" ")
            time.sleep(0.05)


def test_a_server_that_answers_byte_by_byte_is_given_up_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # The whole answer is given half a second, and each byte a minute: none comes too late by itself.
    faster = SimpleNamespace(monotonic=lambda: 120 * time.monotonic())
    monkeypatch.setattr("generation.engines.comfyui.transport.time", faster)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: _drip(listener.accept()[0]), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        began = time.monotonic()
        with closing(Client(url, read_seconds=60)) as client, pytest.raises(ServerAway, match="too slowly"):
            client.queue()
    # All of it would take fifty.
    assert time.monotonic() - began < 40


def test_an_answer_that_ends_too_early_counts_as_none() -> None:
    def cut(connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{}")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: cut(listener.accept()[0]), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with closing(Client(url)) as client, pytest.raises(ServerAway, match="cannot be reached"):
            client.queue()


def test_one_connection_serves_many_calls(server: StandIn) -> None:
    with proxy_to(server.port) as proxy, closing(Client(proxy.url)) as client:
        for _ in range(5):
            client.queue()
            client.delete_pending(["nobody"])
        assert proxy.connections == 1


def test_name_and_password_of_the_address_are_used_and_never_told() -> None:
    asked: list[bytes] = []

    def refuse(connection: socket.socket) -> None:
        with connection:
            asked.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: refuse(listener.accept()[0]), daemon=True).start()
        port = listener.getsockname()[1]
        url = f"http://ann:sesame@127.0.0.1:{port}#gpu=1"
        with closing(Client(url)) as client, pytest.raises(ServerAway) as away:
            client.queue()
    assert b"Authorization: Basic YW5uOnNlc2FtZQ==" in asked[0]
    assert str(away.value) == f"The ComfyUI server 127.0.0.1:{port} answered with status 401."


def test_a_picture_is_uploaded_once_and_named_as_the_server_names_it(
    server: StandIn, client: Client, tmp_path: Path
) -> None:
    picture = tmp_path / "input-1.png"
    Image.new("RGB", (8, 8), "red").save(picture)
    names = [client.upload_image(picture, "isengard") for _ in range(2)]
    Image.new("RGB", (8, 8), "blue").save(picture)
    names.append(client.upload_image(picture, "isengard"))
    assert names == ["isengard/input-1.png", "isengard/input-1.png", "isengard/input-1 (1).png"]


@pytest.mark.parametrize(
    ("status", "error"), [(413, EngineFailed), (400, ServerAway), (500, ServerAway), (200, ServerAway)]
)
def test_an_upload_that_is_not_taken_is_an_error(
    answering: Answering, tmp_path: Path, status: int, error: type[EngineFailed]
) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"x")
    with closing(Client(answering(status, "<html>"))) as client, pytest.raises(error):
        client.upload_image(picture, "isengard")


@pytest.mark.parametrize(
    ("status", "text"),
    [(500, "500 Internal Server Error"), (404, "404"), (200, "<html>"), (200, "[]"), (200, '{"queue_running": 1}')],
)
def test_a_server_that_is_not_comfyui_counts_as_away(answering: Answering, status: int, text: str) -> None:
    with closing(Client(answering(status, text))) as client, pytest.raises(ServerAway) as away:
        client.queue()
    assert not away.value.is_refused


def test_a_file_that_is_gone_is_told_from_a_server_that_is_gone(client: Client, tmp_path: Path) -> None:
    with pytest.raises(OutputMissing):
        client.download(OutputFile(filename="nowhere.png"), tmp_path / "image", stop=threading.Event())


def test_an_unknown_prompt_is_absent(client: Client) -> None:
    assert look(client, {"nobody": {SAVE}}).verdicts["nobody"].state is PromptState.ABSENT


def test_a_server_that_answers_is_ready(server: StandIn) -> None:
    wait_until(lambda: is_ready(server.url), "it is ready")


def test_a_server_that_does_not_run_is_not_ready() -> None:
    assert not is_ready(f"http://127.0.0.1:{free_port()}")


def test_a_deaf_server_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        assert not is_ready(f"http://127.0.0.1:{deaf.getsockname()[1]}")


def test_a_whole_server_can_make_images_with_every_model(server: StandIn) -> None:
    (server.loras / "char-1").mkdir(exist_ok=True)
    (server.loras / "char-1" / "v1.safetensors").write_bytes(b"")
    capabilities = probed(server.url)
    assert all(capabilities.variants[name].is_available for name in ("flux-dev", "flux-schnell"))
    assert "char-1/v1.safetensors" in capabilities.visible_loras


def test_a_model_file_that_the_server_lacks_is_named(tmp_path: Path) -> None:
    with running_stand_in(tmp_path) as stand_in:
        stand_in.remove_model("diffusion_models/flux1-dev.safetensors")
        variants = probed(stand_in.url).variants
    assert variants["flux-dev"].missing == ("flux1-dev.safetensors in models/diffusion_models",)
    assert variants["flux-schnell"].is_available


def test_a_node_that_the_server_lacks_is_named(answering: Answering) -> None:
    variants = probed(answering(200, "{}")).variants
    assert "the node FluxGuidance" in variants["flux-dev"].missing


def test_a_server_that_does_not_say_which_loras_it_sees_can_do_nothing() -> None:
    def hang_up(*_: object) -> tuple[int, object]:
        raise ConnectionAbortedError

    whole = {"GET /object_info": (200, {"LoraLoaderModelOnly": {}}), "GET /system_stats": (200, {})}
    with ScriptedServer(whole | {"GET /models": (500, "broken")}).running() as server:
        assert probed(server.url).visible_loras == frozenset()
    with ScriptedServer(whole | {"GET /models": hang_up}).running() as server:
        assert not probe(server.url).is_up


def test_a_server_that_does_not_run_can_do_nothing() -> None:
    capabilities = probe(f"http://127.0.0.1:{free_port()}")
    assert not capabilities.is_up
    assert not any(variant.is_available for variant in capabilities.variants.values())
