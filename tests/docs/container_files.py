"""The Dockerfile, the compose file and the proxy's, as data."""

import re
import shlex
from typing import Any

import yaml

from tests.docs.pages import PROJECT

COMPOSE = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
NGINX = (PROJECT / "deploy" / "nginx.conf").read_text()


def instructions(word: str) -> list[str]:
    """Return what follows each `word` of the Dockerfile."""
    joined = re.sub(r"\\\n", " ", (PROJECT / "Dockerfile").read_text())
    return re.findall(rf"^{word} +(.+)$", joined, re.MULTILINE)


def image_environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for line in instructions("ENV") for pair in shlex.split(line))


def copied_from_the_project() -> list[str]:
    lines = [line.split() for line in instructions("COPY") if not line.startswith("--from")]
    return [source for *sources, _target in lines for source in sources]


def mounts(service: dict[str, Any]) -> list[str]:
    """Return what a service mounts: names of volumes, paths, or `${SETTING:-path}`."""
    return [volume.removesuffix(":ro").rpartition(":")[0] for volume in service.get("volumes", [])]
