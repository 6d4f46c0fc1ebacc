"""Find and read a job file the way ai-toolkit does, which checks next to nothing."""

import importlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIG_FOLDER = Path(__file__).resolve().parent.parent / "config"
EXTENSIONS = (".json", ".jsonc", ".yaml", ".yml")
_VARIABLE = re.compile(r"\$\{([^}]+)\}")
# YAML 1.1 takes 1e-4 for a string; the real program teaches its loader that it is a number.
_YAML_EXPONENT = re.compile(r"[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+")


@dataclass(frozen=True, slots=True)
class JobFile:
    """`content` has `[name]` replaced, `raw` is as it was written (with the values of `${...}` in it)."""

    name: str
    content: dict[str, Any]
    raw: dict[str, Any]

    @property
    def processes(self) -> list[dict[str, Any]]:
        config = self.content["config"]
        if "process" not in config:
            raise ValueError('config file is invalid. Missing "config.process" key')
        if not config["process"]:
            raise ValueError('config file is invalid. "config.process" must be a list of processes')
        return list(config["process"])


def read_job_file(argument: str, name: str | None) -> JobFile:
    """Read the file, put the environment's values and `name` in. Raise ValueError where an outer key is wrong."""
    path = _find(argument)
    raw = _parser(path)(_with_environment(path.read_text(encoding="utf-8")))
    for key in ("job", "config"):
        if key not in raw:
            raise ValueError(f"config file must have a {key} {'key' if key == 'job' else 'section'}")
    if "name" not in raw["config"] and name is None:
        raise ValueError("config file must have a config.name key")
    tag = raw["config"]["name"] if name is None else name
    content = json.loads(json.dumps(raw).replace("[name]", tag))
    return JobFile(content["config"].get("name", tag), content, raw)


def _find(argument: str) -> Path:
    in_config_folder = [CONFIG_FOLDER / f"{argument}{extension}" for extension in EXTENSIONS]
    for path in (CONFIG_FOLDER / argument, *in_config_folder, Path(argument)):
        if path.is_file():
            return path
    raise ValueError(f"Could not find config file {argument}")


def _with_environment(text: str) -> str:
    return _VARIABLE.sub(lambda match: _variable(match[1]), text)


def _variable(name: str) -> str:
    if (value := os.environ.get(name)) is None:
        raise ValueError(f"Environment variable {name} not set. Please ensure it's defined before proceeding.")
    return value


def _parser(path: Path) -> Callable[[str], Any]:
    if path.suffix in (".json", ".jsonc"):
        return json.loads
    if path.suffix in (".yaml", ".yml"):
        return _parse_yaml
    raise ValueError(f"Config file {path} must be a json or yaml file")


def _parse_yaml(text: str) -> Any:
    # PyYAML is not needed at run time: Isengard itself writes its job files as JSON.
    yaml = importlib.import_module("yaml")
    loader: Any = type("ExponentLoader", (yaml.SafeLoader,), {})
    loader.add_implicit_resolver("tag:yaml.org,2002:float", _YAML_EXPONENT, list("-+0123456789"))
    return yaml.load(text, Loader=loader)
