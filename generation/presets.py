"""Named sets of parameters: ours, and those of the operator in the data directory's folder `presets`."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeAlias

from django.conf import settings
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from rest_framework import exceptions

from generation.params import DEFAULT_VARIANT, VARIANTS, GenerationParams
from generation.workflows.errors import FileBroken
from generation.workflows.folder import GRAPH_SUFFIX, Broken, Stamp, check_name, shown, stamp_of
from generation.workflows.json_files import complaints, read_object

MAX_PRESET_BYTES = 64 * 1024
MAX_PRESETS = 100


def _known_model(name: str) -> str:
    if name not in VARIANTS:
        raise ValueError(f"must be one of {', '.join(VARIANTS)}")
    return name


class Preset(BaseModel):
    """`config` is what it sets, `models` what it sets besides for one model. What a request gives goes before both."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    title: str = Field(default="", max_length=100)
    description: str = Field(default="", max_length=1000)
    config: dict[str, Any] = {}
    models: dict[Annotated[str, AfterValidator(_known_model)], dict[str, Any]] = {}

    def filled(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return `config` with what it leaves open. A workflow of the operator is none of the models."""
        whole = {**self.config, **config}
        model = whole.get("model_variant", DEFAULT_VARIANT)
        of_model = self.models.get(model, {}) if isinstance(model, str) and whole.get("workflow") is None else {}
        return {**self.config, **of_model, **config}


Found: TypeAlias = Mapping[str, Preset | Broken]

# The models that were distilled to a few steps gain nothing from more, and lose the picture with fewer.
BUILT_IN: Mapping[str, Preset] = MappingProxyType(
    {
        "draft": Preset(
            title="Draft",
            description="Small and quick, to try a prompt.",
            config={"width": 768, "height": 768},
            models={
                "flux-dev": {"steps": 12},
                "z-image": {"steps": 16},
                "qwen-image": {"steps": 12},
                "sdxl": {"steps": 15},
            },
        ),
        "portrait": Preset(title="Portrait", description="Upright, 2:3.", config={"width": 832, "height": 1248}),
        "landscape": Preset(title="Landscape", description="Wide, 3:2.", config={"width": 1248, "height": 832}),
        "quality": Preset(
            title="Quality",
            description="More steps where the model gains from them.",
            config={"width": 1024, "height": 1024},
            models={
                "flux-dev": {"steps": 35},
                "z-image": {"steps": 40},
                "qwen-image": {"steps": 40},
                "sdxl": {"steps": 40},
            },
        ),
    }
)


def applied(body: Any) -> Any:
    """Fill the config of a request from the preset that it names. Raises ValidationError for one that is not usable.

    Whatever else is wrong with the body is left to who parses it.
    """
    if not isinstance(body, dict) or not isinstance(body.get("preset_name"), str):
        return body
    preset = _find(body["preset_name"])
    if not isinstance(body.get("config"), dict):
        return body
    return {**body, "config": preset.filled(body["config"])}


def _find(name: str) -> Preset:
    known = all_presets()
    preset = known.get(name)
    if preset is None:
        usable = [name for name, each in known.items() if isinstance(each, Preset)]
        raise exceptions.ValidationError({"preset_name": f"must be one of {', '.join(usable)}."})
    if isinstance(preset, Broken):
        raise exceptions.ValidationError({"preset_name": f"the file of {name} is broken. {preset.reason}"})
    return preset


def all_presets() -> Found:
    """Return every preset by name, broken files included. One of the operator's goes before ours of the same name."""
    return {**BUILT_IN, **own_presets()}


def folder() -> Path:
    return settings.DATA_DIR / "presets"


def own_presets() -> Found:
    path = folder()
    try:
        return _read_all(path, stamp_of(path))
    except OSError as exc:
        return {path.name: Broken(name=path.name, reason=f"The folder cannot be read: {exc.strerror or exc}.")}


@lru_cache(maxsize=4)
def _read_all(path: Path, stamp: Stamp) -> Found:
    names = sorted(file.removesuffix(GRAPH_SUFFIX) for file, _, _ in stamp)
    found: dict[str, Preset | Broken] = {shown(name): _read(path, name) for name in names[:MAX_PRESETS]}
    for name in names[MAX_PRESETS:]:
        found[shown(name)] = Broken(name=shown(name), reason=f"At most {MAX_PRESETS} presets are read.")
    return found


def _read(path: Path, name: str) -> Preset | Broken:
    try:
        check_name(name)
        return _checked(read_object(path / (name + GRAPH_SUFFIX), max_bytes=MAX_PRESET_BYTES))
    except FileBroken as exc:
        return Broken(name=shown(name), reason=str(exc))


def _checked(content: Mapping[str, Any]) -> Preset:
    try:
        preset = Preset.model_validate(content)
        for example in _examples(preset):
            GenerationParams.model_validate(example)
    except ValidationError as exc:
        raise FileBroken(" ".join(complaints(exc))) from exc
    return preset


def _examples(preset: Preset) -> Iterator[dict[str, Any]]:
    prompt = {"prompt": "example"}
    yield preset.filled(prompt | {name: preset.config[name] for name in prompt if name in preset.config})
    for model, of_model in preset.models.items():
        yield {**prompt, **preset.config, **of_model, "model_variant": model}


def info() -> dict[str, Any]:
    """Return `/info`'s part about them."""
    return {name: _told(name, preset) for name, preset in all_presets().items()}


def _told(name: str, preset: Preset | Broken) -> dict[str, Any]:
    if isinstance(preset, Broken):
        told: dict[str, Any] = {"title": name, "description": "", "config": {}, "models": {}}
        return {**told, "available": False, "reason": preset.reason}
    return {**preset.model_dump(), "title": preset.title or name, "available": True}
