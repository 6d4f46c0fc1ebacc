"""Parameters in groups, and what browsers need to fill them in again when the model or the preset is another."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isengard.cockpit.start.fields import Declared, Field, as_text, fields
from isengard.cockpit.start.submitting import Complaints

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """`is_open`: shown at once, also since something in it was asked for or is wrong."""

    title: str
    fields: list[Field]
    is_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A model to choose. `state` is one or two words, `note` why it cannot be used now."""

    name: str
    title: str
    facts: list[str]
    state: str
    is_ready: bool
    note: str
    is_chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    name: str
    title: str
    text: str
    is_usable: bool
    is_chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """`first` are open groups, `later` are those that most people leave alone."""

    first: Sequence[tuple[str, Sequence[str]]]
    later: Sequence[tuple[str, Sequence[str]]]
    apart: frozenset[str]

    def names(self, declared: Declared) -> list[str]:
        """Return what the groups have, those in none of them behind."""
        grouped = [name for _, names in (*self.first, *self.later) for name in names]
        return [*(name for name in grouped if name in declared), *self._left(declared, grouped)]

    def groups(
        self, declared: Declared, *, values: Values, usual: Values, complaints: Complaints
    ) -> tuple[list[Group], list[Group]]:
        """Return the groups that are always open, and the others."""
        grouped = [name for _, names in (*self.first, *self.later) for name in names]
        rest = [("Everything else", list(self._left(declared, grouped)))]

        def made(parts: Iterable[tuple[str, Sequence[str]]]) -> Iterator[Group]:
            for title, names in parts:
                found = list(fields(declared, names, values, complaints))
                if found:
                    yield Group(title=title, fields=found, is_open=any(_is_touched(each, usual) for each in found))

        return list(made(self.first)), list(made([*self.later, *rest]))

    def _left(self, declared: Declared, grouped: Sequence[str]) -> Iterator[str]:
        # A parameter that nobody has put into a group is still to be filled in.
        return (name for name in declared if name not in grouped and name not in self.apart)


def _is_touched(field: Field, usual: Values) -> bool:
    return bool(field.errors) or field.value != as_text(usual.get(field.name))


def usual_texts(declared: Declared) -> dict[str, str]:
    """Return what is declared as the default of each parameter, as a form shows it."""
    return {name: as_text(about.get("default")) for name, about in declared.items()}


def differing(values: Values, usual: Mapping[str, str]) -> dict[str, str]:
    """Return, as a form shows them, the values that are not as declared."""
    shown = {name: as_text(value) for name, value in values.items() if name in usual}
    return {name: text for name, text in shown.items() if text != usual[name]}
