"""What runs again, and what the server merely remembers."""

import io
from typing import Any

from PIL import Image

from tests.generation.simulator_process import Graph, Simulator, copy_graph, flux_graph, images_of, png_bytes

pytest_plugins = ("tests.generation.simulator_fixtures",)


def cached_nodes(entry: Any) -> set[str]:
    return set(entry["status"]["messages"][1][1]["nodes"])


def test_an_identical_graph_runs_nothing_and_names_the_old_file(simulator: Simulator) -> None:
    graph = flux_graph(prefix="again/img")
    owner = simulator.listen("owner")
    first = simulator.submit(graph, client_id="owner")
    owner.until_end(first)
    owner.messages.clear()
    again = simulator.submit(graph, client_id="owner")
    owner.until_end(again)
    assert cached_nodes(simulator.entry(again)) == set(graph)
    assert images_of(simulator.entry(again)) == images_of(simulator.entry(first))
    names = [message["type"] for message in owner.events()][2:]
    assert names == [
        *("execution_start", "execution_cached", "executed", "progress_state"),
        *("execution_success", "status", "executing"),
    ]


def test_the_old_name_is_given_even_if_the_file_is_gone(simulator: Simulator) -> None:
    graph = flux_graph(prefix="gone/img")
    (image,) = images_of(simulator.run(graph))
    (simulator.base / "output" / "gone" / image["filename"]).unlink()
    assert images_of(simulator.run(graph, client_id="me")) == [image]
    assert simulator.view(image).status_code == 404


def test_with_another_prefix_only_the_saving_runs_again(simulator: Simulator) -> None:
    graph = flux_graph(prefix="one/img")
    first = simulator.picture(graph)
    graph["15"]["inputs"]["filename_prefix"] = "two/img"
    entry = simulator.run(graph)
    assert cached_nodes(entry) == set(graph) - {"15"}
    again = Image.open(io.BytesIO(simulator.view(images_of(entry)[0]).content))
    assert again.tobytes() == first.tobytes()


def test_with_another_seed_what_does_not_depend_on_it_is_kept(simulator: Simulator) -> None:
    graph = flux_graph()
    simulator.run(graph)
    graph["8"]["inputs"]["noise_seed"] = 2**40
    assert cached_nodes(simulator.run(graph)) == set(graph) - {"8", "13", "14", "15"}


def test_results_are_found_under_other_node_ids(simulator: Simulator) -> None:
    graph = flux_graph()
    simulator.run(graph)
    assert cached_nodes(simulator.run(renamed(graph))) == set(renamed(graph))


def renamed(graph: Graph) -> Graph:
    def link(value: object) -> object:
        return [f"n{value[0]}", value[1]] if isinstance(value, list) else value

    return {
        f"n{node_id}": {**node, "inputs": {name: link(value) for name, value in node["inputs"].items()}}
        for node_id, node in graph.items()
    }


def test_only_the_previous_prompt_is_remembered(simulator: Simulator) -> None:
    graph = flux_graph(text="first")
    simulator.run(graph)
    simulator.run(flux_graph(text="second", unet="flux1-schnell.safetensors"))
    assert cached_nodes(simulator.run(graph)) == {"2", "3", "7", "9"}


def test_an_upload_that_is_replaced_under_its_name_is_noticed(simulator: Simulator) -> None:
    def upload(colour: str) -> None:
        files = {"image": ("same_name.png", png_bytes(colour))}
        simulator.post("/upload/image", files=files, data={"overwrite": "true"})

    upload("red")
    red = simulator.picture(copy_graph("same_name.png"))
    upload("blue")
    assert simulator.picture(copy_graph("same_name.png")).tobytes() != red.tobytes()
