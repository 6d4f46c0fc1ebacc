"""What was asked of a job, as people read it: names in words, values with their units."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from jobs import readable

_NO_UNITS: Mapping[str, str] = MappingProxyType({})
_SPELT = {"lora": "LoRA", "loras": "LoRAs", "controlnet": "ControlNet", "ipadapter": "IP-Adapter", "id": "id"}
# Longer ones get the page's whole width.
_LINE_LENGTH = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One thing that was asked for. `is_telling`: worth a place among the first, since it differs from what is usual
    or says what the job is; `explanation` is the parameter's own."""

    label: str
    text: str
    explanation: str = ""
    is_telling: bool = True

    @property
    def is_long(self) -> bool:
        return len(self.text) > _LINE_LENGTH or "\n" in self.text


def parameters(
    declared: type[BaseModel],
    config: Mapping[str, Any],
    *,
    units: Mapping[str, str] = _NO_UNITS,
    always: Collection[str] = (),
) -> Iterator[Told]:
    """Yield the parameters of `config`, those that are declared in their order, then what an old job has besides.

    `always`: those that are telling at their defaults too.
    """
    for name, field in declared.model_fields.items():
        if name in config:
            value = config[name]
            is_telling = name in always or value != field.get_default(call_default_factory=True)
            text, explanation = _worded(value, units.get(name, "")), field.description or ""
            yield Told(label=label_of(name), text=text, explanation=explanation, is_telling=is_telling)
    yield from undeclared({name: value for name, value in config.items() if name not in declared.model_fields})


def undeclared(config: Mapping[str, Any]) -> Iterator[Told]:
    """Yield what nobody has declared, named by its own name."""
    for name, value in config.items():
        yield Told(label=label_of(name), text=_worded(value, ""))


def label_of(name: str) -> str:
    """Return `LoRA rank` for `lora_rank`, `Upscale` for `use_upscale`."""
    words = [_SPELT.get(word, word) for word in name.removeprefix("use_").split("_")]
    first = words[0] if words[0] in _SPELT.values() else words[0].capitalize()
    return " ".join([first, *words[1:]])


def _worded(value: object, unit: str) -> str:
    if value is None or value in ("", []):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "\n".join(_worded(each, "") for each in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{label_of(str(name)).lower()} {_worded(each, '')}" for name, each in value.items())
    text = readable.number(value) if isinstance(value, float) else str(value)
    return f"{text} {unit}" if unit else text
