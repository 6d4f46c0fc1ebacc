"""Each server once for all tests, and an Isengard in front of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.generation_servers import (
    FOREIGN,
    LORAS,
    NAMES,
    OURS,
    REAL,
    URL,
    OwnServer,
    Server,
    become_idle,
    tiny_models,
)
from tests.conformance.generation_site import GenerationSite


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models of a real server. The stand-in has its own."""
    folder = tmp_path_factory.mktemp("tiny") / "models"
    return tiny_models(folder) if REAL in OURS else folder


def _serve(name: str, folder: Path, models: Path) -> Iterator[Server]:
    if name == FOREIGN:
        yield Server(name, URL, Path(LORAS))
        return
    server = OwnServer(name, folder / "server", folder / "data" / "loras", models=models)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="package", params=NAMES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Server]:
    yield from _serve(request.param, tmp_path_factory.mktemp(request.param), models)


@pytest.fixture
def idle_server(server: Server) -> Iterator[Server]:
    become_idle(server)
    yield server
    become_idle(server)


@pytest.fixture(scope="package")
def site(server: Server) -> Iterator[GenerationSite]:
    site = GenerationSite(server.loras.parent, [server])
    try:
        yield site.start()
    finally:
        site.stop()


@pytest.fixture(scope="package", params=OURS)
def pair_of_servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, models: Path
) -> Iterator[list[OwnServer]]:
    folder = tmp_path_factory.mktemp("pair")
    loras = folder / "data" / "loras"
    servers = [OwnServer(request.param, folder / letter, loras, models=models) for letter in "ab"]
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.kill()


@pytest.fixture(scope="package")
def pair_site(pair_of_servers: list[OwnServer]) -> Iterator[GenerationSite]:
    site = GenerationSite(pair_of_servers[0].loras.parent, pair_of_servers)
    try:
        yield site.start()
    finally:
        site.stop()
