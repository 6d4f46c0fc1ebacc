"""Form fields from the declared parameters, and a request's config from what was filled in.

What is filled in becomes a number or a truth value where one is declared and it looks like one. Whether it is right is
judged where the API's requests are judged.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal

from django.http import QueryDict

from isengard.cockpit.start.submitting import Complaints
from jobs.in_words import label_of

Declared = Mapping[str, Mapping[str, Any]]
"""Parameters by name, as `jobs.params.describe` tells of them."""
Control = Literal["number", "choice", "switch", "line", "text", "lines"]

UNITS: Mapping[str, str] = MappingProxyType({"width": "pixels", "height": "pixels", "resolution": "pixels"})
# What people write sentences in; of the others a line is enough.
TEXTS = frozenset({"prompt", "negative_prompt"})
ONE_EACH_LINE = frozenset({"sample_prompts"})
ENDLESS = 1_000_000_000
_WHOLE = re.compile(r"[+-]?\d{1,30}", re.ASCII)
# Whatever may be meant by a switch that is on.
ON = "on"
SWITCH = "-switch"


@dataclass(frozen=True, slots=True)
class Option:
    value: str
    text: str
    is_chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """`note` says why the parameter does nothing, or that it cannot be used here."""

    name: str
    label: str
    control: Control
    value: str
    help: str
    limits: str
    attributes: Mapping[str, str]
    options: list[Option]
    note: str
    errors: list[str]

    @property
    def is_on(self) -> bool:
        return self.value == ON

    @property
    def is_wide(self) -> bool:
        return self.control in ("text", "lines")


def fields(
    declared: Declared, names: Iterable[str], values: Mapping[str, Any], complaints: Complaints
) -> Iterator[Field]:
    """Yield the fields of those `names` that are declared. `values` are as they are asked for, or as they were sent."""
    for name in names:
        if name in declared:
            yield _field(name, declared[name], values.get(name), complaints)


def _field(name: str, about: Mapping[str, Any], value: Any, complaints: Complaints) -> Field:
    shown = as_text(value)
    return Field(
        name=name,
        label=label_of(name),
        control=_control(name, about),
        value=shown,
        help=about["description"],
        limits=_limits(name, about),
        attributes=_attributes(name, about),
        options=[Option(str(option), str(option), str(option) == shown) for option in about.get("options", [])],
        note="" if about["wired"] else f"Has no effect. {about.get('reason', '')}".strip(),
        errors=about_field(name, complaints),
    )


def _control(name: str, about: Mapping[str, Any]) -> Control:
    if name in TEXTS:
        return "text"
    if name in ONE_EACH_LINE:
        return "lines"
    if "options" in about:
        return "choice"
    by_type: Mapping[str, Control] = {"bool": "switch", "int": "number", "float": "number"}
    return by_type.get(about["type"], "line")


def _limits(name: str, about: Mapping[str, Any]) -> str:
    if "options" in about or "min" not in about:
        return UNITS.get(name, "")
    least, most = as_text(about["min"]), as_text(about.get("max"))
    known = f"{least} to {most}" if about.get("max", ENDLESS) < ENDLESS else ""
    return f"{known} {UNITS.get(name, '')}".strip()


def _attributes(name: str, about: Mapping[str, Any]) -> Mapping[str, str]:
    """Return what tells a browser the same; with it an error is seen before it is sent."""
    known = {"min": about.get("min"), "max": about.get("max"), "maxlength": about.get("max_length")}
    steps = {"int": "1", "float": "any"}
    known["step"] = steps.get(about["type"])
    told = {key: as_text(value) for key, value in known.items() if value is not None and "options" not in about}
    return told | ({"required": "required"} if about.get("required") else {})


def as_text(value: Any) -> str:
    """Return a value as a form shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return ON if value else ""
    if isinstance(value, list):
        return "\n".join(as_text(each) for each in value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    # No powers of ten: 0.00001, as people write it.
    return f"{Decimal(repr(value)):f}" if isinstance(value, float) else str(value)


def about_field(name: str, complaints: Complaints) -> list[str]:
    """Return what is wrong with a parameter, or within it."""
    return [text for path, found in complaints.items() if path == name or path.startswith(f"{name}.") for text in found]


def about_none(names: Iterable[str], complaints: Complaints) -> list[str]:
    """Return what is wrong beyond the fields of these names, with its path in front."""
    known = set(names)
    left = ((path, text) for path, found in complaints.items() for text in found if not _is_within(path, known))
    return [f"{path}: {text}" if path else text for path, text in left]


def _is_within(path: str, names: set[str]) -> bool:
    return any(path == name or path.startswith(f"{name}.") for name in names)


def read(declared: Declared, names: Iterable[str], sent: QueryDict) -> dict[str, Any]:
    """Return what was filled in for these parameters; what was left empty is left out."""
    found = {name: _sent(name, declared[name], sent) for name in names if name in declared}
    return {name: value for name, value in found.items() if value is not None}


def _sent(name: str, about: Mapping[str, Any], sent: QueryDict) -> Any:
    if about["type"] != "bool":
        return _typed(name, about, sent.get(name, ""))
    # Browsers do not send a switch that is off; what stands beside it tells that from one that could not be moved.
    return sent.get(name) == ON if f"{name}{SWITCH}" in sent else None


def _typed(name: str, about: Mapping[str, Any], sent: str) -> Any:
    # Browsers send the line ends of another system.
    text = sent.replace("\r\n", "\n")
    if not text.strip():
        return None
    if name in ONE_EACH_LINE:
        return [line.strip() for line in text.splitlines() if line.strip()]
    return as_number(text.strip(), about["type"]) if about["type"] in ("int", "float") else text


def as_number(text: str, kind: str) -> int | float | str:
    """Return a number of that kind, or the text itself, for whoever judges it."""
    if _WHOLE.fullmatch(text):
        return int(text)
    if kind != "float":
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def changed(config: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """Return what differs from what would be taken anyway."""
    return {name: value for name, value in config.items() if name not in usual or value != usual[name]}
