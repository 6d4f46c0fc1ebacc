"""LoRA files: found at once, opened late, and remembered."""

import shutil
from pathlib import Path

import pytest

from tests.generation.simulator_process import Simulator, StartSimulator, flux_graph, lora_bytes

pytest_plugins = ("tests.generation.simulator_fixtures",)

LORA_INPUT = "/object_info/LoraLoaderModelOnly"


def listed(simulator: Simulator) -> list[str]:
    names: list[str] = simulator.get("/models/loras").json()
    info = simulator.get(LORA_INPUT).json()["LoraLoaderModelOnly"]
    assert info["input"]["required"]["lora_name"][0] == names
    return names


def add(simulator: Simulator, name: str, content: bytes | None = None) -> Path:
    path = simulator.loras / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lora_bytes() if content is None else content)
    return path


def test_a_new_file_is_listed_and_usable_at_once(simulator: Simulator) -> None:
    name = "users/42/new.safetensors"
    assert name not in listed(simulator)
    path = add(simulator, name)
    path.chmod(0o600)
    assert name in listed(simulator)
    assert simulator.run(flux_graph(lora=name))["status"]["completed"]
    path.unlink()
    assert name not in listed(simulator)


def test_links_are_followed_and_unfinished_names_are_not_listed(simulator: Simulator, tmp_path: Path) -> None:
    (tmp_path / "linked.safetensors").write_bytes(lora_bytes())
    (simulator.loras / "link").symlink_to(tmp_path)
    add(simulator, "half.safetensors.tmp")
    add(simulator, "half.part")
    assert "link/linked.safetensors" in listed(simulator)
    assert not any(name.startswith("half") for name in listed(simulator))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "header too small"),
        (b"\x10\0\0\0\0\0\0\0{not json       ", "invalid JSON in header"),
        (lora_bytes()[:-3], "incomplete metadata, file not fully covered"),
        (lora_bytes()[:40], "invalid header length"),
    ],
)
def test_a_broken_file_passes_validation_and_fails_when_it_is_opened(
    simulator: Simulator, content: bytes, message: str
) -> None:
    add(simulator, "broken.safetensors", content)
    error = simulator.error_of(flux_graph(lora="broken.safetensors"))
    assert (error["node_id"], error["node_type"]) == ("4", "LoraLoaderModelOnly")
    assert error["exception_type"] == "safetensors._safetensors_rust.SafetensorError"
    assert message in error["exception_message"]
    assert simulator.run(flux_graph())["status"]["completed"]


def test_a_broken_model_fails_at_its_loader(simulator: Simulator) -> None:
    (simulator.base / "models" / "vae" / "broken.safetensors").write_bytes(b"")
    graph = flux_graph()
    graph["3"]["inputs"]["vae_name"] = "broken.safetensors"
    assert simulator.error_of(graph)["node_type"] == "VAELoader"


def test_a_file_that_vanishes_while_the_prompt_waits(simulator: Simulator) -> None:
    path = add(simulator, "vanishing.safetensors")
    simulator.start_endless()
    waiting = simulator.submit(flux_graph(lora=path.name))
    path.unlink()
    simulator.post("/interrupt")
    error = simulator.entry(waiting)["status"]["messages"][-1][1]
    assert error["exception_type"] == "FileNotFoundError"
    assert error["exception_message"] == "Model in folder 'loras' with filename 'vanishing.safetensors' not found.\n"


def test_a_file_that_is_replaced_under_its_name_goes_unnoticed_until_memory_is_freed(simulator: Simulator) -> None:
    def picture() -> bytes:
        return simulator.picture(flux_graph(lora="replaced.safetensors", seed=1)).tobytes()

    add(simulator, "replaced.safetensors", lora_bytes(weight=1.0))
    first = picture()
    add(simulator, "replaced.safetensors", lora_bytes(weight=2.0))
    assert picture() == first
    simulator.post("/free", {"free_memory": True})
    simulator.run(flux_graph())
    assert picture() != first


def test_without_its_folder_the_loader_is_broken_until_it_is_back(start_simulator: StartSimulator) -> None:
    simulator = start_simulator()
    add(simulator, "there.safetensors")
    assert listed(simulator) == ["there.safetensors"]
    shutil.rmtree(simulator.loras)
    assert simulator.get(LORA_INPUT).status_code == 500
    answer = simulator.post("/prompt", {"prompt": flux_graph(lora="there.safetensors")})
    assert answer.json()["node_errors"]["4"]["errors"][0]["type"] == "exception_during_inner_validation"
    add(simulator, "back.safetensors")
    assert listed(simulator) == ["back.safetensors"]
