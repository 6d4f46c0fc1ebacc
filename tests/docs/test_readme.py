"""The pages are true: what they name exists, what they list is complete, and the story runs as it is typed."""

import ast
import importlib.util
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from django.core.management import get_commands
from django.urls import resolve
from pydantic import BaseModel

from base_models import MODELS
from generation.params import GenerationParams
from jobs.params import describe
from tests.docs.pages import (
    ONLY_IN_THE_ENVIRONMENT,
    PAGES,
    PROJECT,
    README,
    code_in,
    is_passed_on_to_trainers,
    read_by_tests,
    section,
    settings_read,
    tables,
)
from training.params import TrainingParams

SETTING_IN_EXAMPLE = re.compile(r"^# ([A-Z][A-Z0-9_]+)=", re.MULTILINE)
FILE_OF_THE_PROJECT = re.compile(
    r"\b((?:isengard|training|generation|jobs|characters|tests|docs|deploy)/[\w/.-]+\.\w+)\b"
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def readme_settings() -> dict[str, str]:
    (table,) = tables(section(README, "Settings"))
    return {row[0].strip("`"): row[1] for row in table}


def test_the_readme_lists_exactly_the_settings_that_are_read() -> None:
    assert set(readme_settings()) == set(settings_read())


def test_the_readme_gives_every_plain_default() -> None:
    defaults = readme_settings()
    for name, call in settings_read().items():
        default = call.args[-1] if len(call.args) > 1 else None
        if isinstance(default, ast.Constant) and default.value != "":
            assert f"`{default.value}`" in defaults[name], name


def test_the_example_file_lists_exactly_the_settings_that_are_read() -> None:
    named = set(SETTING_IN_EXAMPLE.findall((PROJECT / ".env.example").read_text()))
    beyond = {name for name in named - set(settings_read()) if not is_passed_on_to_trainers(name)}
    compose = (PROJECT / "docker-compose.yml").read_text()
    assert set(settings_read()) - ONLY_IN_THE_ENVIRONMENT == named & set(settings_read())
    assert all(f"${{{name}:" in compose for name in beyond), beyond


def test_the_example_file_changes_nothing_when_it_is_copied() -> None:
    lines = (PROJECT / ".env.example").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("# ")] == []


@pytest.mark.parametrize(("number", "model"), [(0, TrainingParams), (1, GenerationParams)])
def test_the_readme_lists_the_parameters_as_they_are_declared(number: int, model: type[BaseModel]) -> None:
    written = tables(section(README, "Parameters"))[number]
    assert written == [_row(name, known) for name, known in describe(model).items()]


def _row(name: str, known: dict[str, Any]) -> list[str]:
    default = f"`{json.dumps(known['default'])}`" if "default" in known else "required"
    return [f"`{name}`", default, _values(name, known) + ("" if known["wired"] else " (no effect)")]


def _values(name: str, known: dict[str, Any]) -> str:
    if name == "sample_prompts":
        return "text, or a list of texts"
    if name == "loras":
        return "a list of at most 8, each `lora_id` and `strength`"
    if "options" in known:
        return ", ".join(f"`{option}`" for option in known["options"])
    if known["type"] == "bool":
        return "true or false"
    if known["type"] == "string":
        least, most = known.get("min_length"), known["max_length"]
        return f"text, {least} to {most} characters" if least else f"text, at most {most} characters"
    return f"{known['min']} to {known['max']}"


@EACH_PAGE
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        path, _, anchor = unquote(target).partition("#")
        if "://" in target:
            continue
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in _anchors(file), target


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@EACH_PAGE
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    code = code_in(page.read_text())
    targets = set(re.findall(r"^([a-z][a-z-]*):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z][a-z-]*)", code)) <= targets
    assert set(re.findall(r"manage\.py ([a-z_]+)", code)) <= set(get_commands())
    assert [name for name in re.findall(r"python3? -m ([\w.]+)", code) if importlib.util.find_spec(name) is None] == []


@EACH_PAGE
def test_every_setting_that_a_page_names_is_read(page: Path) -> None:
    named = set(re.findall(r"\b(ISENGARD_[A-Z_]+|COMFYUI_[A-Z_]+|AI_TOOLKIT_[A-Z_]+)\b", code_in(page.read_text())))
    assert named <= set(settings_read()) | read_by_tests()


@EACH_PAGE
def test_every_file_of_the_project_that_a_page_names_exists(page: Path) -> None:
    named = FILE_OF_THE_PROJECT.findall(page.read_text())
    assert [name for name in named if not (PROJECT / name).exists()] == []


def test_every_address_that_the_readme_explains_is_answered() -> None:
    addresses, _ = tables(section(README, "What is where"))
    for address in re.findall(r"`(/[^`]*)`", " ".join(row[0] for row in addresses)):
        resolve(re.sub(r"\{\w+\}", "x", address))


def test_the_engines_page_names_the_model_files_that_are_asked_for() -> None:
    models, _switches = tables(section(PROJECT / "docs" / "engines.md", "ComfyUI"))
    named = set(re.findall(r"`([\w.-]+\.safetensors)`", " ".join(" ".join(row) for row in models)))
    generating = [model.generating for model in MODELS.values() if model.generating is not None]
    asked_for = [names for model in generating for names in (model.diffusion_model, *model.text_encoders, model.vae)]
    assert {names[0] for names in asked_for if names} <= named


def test_every_runtime_dependency_has_its_reason() -> None:
    pinned = re.findall(r"^([A-Za-z0-9_-]+)(?:\[\w+\])?==", (PROJECT / "requirements.txt").read_text(), re.MULTILINE)
    (table,) = tables((PROJECT / "docs" / "decisions.md").read_text())
    explained = [name.strip() for row in table for name in row[0].split(",")]
    assert sorted(explained) == sorted(pinned)


def test_the_changelog_has_the_version_of_the_code() -> None:
    settings_text = (PROJECT / "isengard" / "settings.py").read_text()
    (version,) = re.findall(r'^VERSION = "(.+)"$', settings_text, re.MULTILINE)
    assert f"## [{version}]" in (PROJECT / "CHANGELOG.md").read_text()
    assert f'version = "{version}"' in (PROJECT / "pyproject.toml").read_text()
    assert f"image: isengard:{version}" in (PROJECT / "docker-compose.yml").read_text()
