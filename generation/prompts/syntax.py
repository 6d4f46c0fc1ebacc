r"""How a prompt with choices is written. Framework-free.

`{red|blue}` one of them · `{3::red|blue}` red three times as often · `{2$$a|b|c}` two of them ·
`{1-2$$ and $$a|b|c}` one or two, joined with " and " · `__hair__` a line of that wildcard · `\{`, `\|`, `\_` … the
character itself. White space around an option does not count. Everything else is text: `#`, `$5`, `50%`, `(red:1.2)`,
a single `|`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_DEPTH = 10
MAX_OPTIONS = 500
DEFAULT_SEPARATOR = ", "

_WEIGHT = re.compile(r"\s*([0-9]{1,6}(?:\.[0-9]{0,6})?|\.[0-9]{1,6})::", re.ASCII)
_HOW_MANY = re.compile(r"\s*([0-9]{1,3})(?:-([0-9]{1,3}))?\$\$", re.ASCII)
_SEPARATOR = re.compile(r"([^${}|\\]*)\$\$")
# A name has no `__` in it, so that `__a__b__` is not read to the last underscores.
_WILDCARD = re.compile(r"__((?:[^\W_]|[/-]|_(?!_))+)__")
_TEXT = re.compile(r"[^\\{}|_]+|_")
_ESCAPABLE = frozenset("\\{}|_$:")


class PromptRefused(ValueError):
    """The prompt cannot be written out; the text says why to the person who sent it."""


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Wildcard:
    name: str


@dataclass(frozen=True, slots=True)
class Option:
    weight: float
    parts: "Parts"


@dataclass(frozen=True, slots=True)
class Choice:
    """From `fewest` to `most` of the options, each at most once."""

    options: tuple[Option, ...]
    fewest: int
    most: int
    separator: str


Part = Text | Wildcard | Choice
Parts = tuple[Part, ...]


def parse(prompt: str) -> Parts:
    """Raises PromptRefused."""
    reader = _Reader(prompt)
    parts = reader.parts(depth=0)
    if not reader.is_at_end:
        raise reader.refusal(r"closes nothing; write \} for the character itself")
    return parts


def weight_of_line(line: str) -> tuple[float, str]:
    """Return the weight that a line of a wildcard file may begin with, `3::red`, and the prompt behind it."""
    reader = _Reader(line)
    return reader.weight(), reader.rest.strip()


def wildcards_in(parts: Parts) -> Iterator[str]:
    for part in parts:
        match part:
            case Wildcard(name):
                yield name
            case Choice(options):
                for option in options:
                    yield from wildcards_in(option.parts)


class _Reader:
    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        return self._at >= len(self._source)

    @property
    def rest(self) -> str:
        return self._source[self._at :]

    def refusal(self, why: str) -> PromptRefused:
        return PromptRefused(f"the {self._source[self._at]} at character {self._at + 1} {why}.")

    def parts(self, *, depth: int) -> Parts:
        """Read up to the end, or to what ends an option."""
        found: list[Part] = []
        while not self.is_at_end and self._source[self._at] != "}":
            if depth and self._source[self._at] == "|":
                break
            found.append(self._part(depth))
        return tuple(_joined(found))

    def _part(self, depth: int) -> Part:
        if self._source[self._at] == "{":
            return self._choice(depth + 1)
        wildcard = self._take(_WILDCARD)
        if wildcard:
            return Wildcard(wildcard[1])
        return Text(self._text())

    def _text(self) -> str:
        follows = self._source[self._at + 1 : self._at + 2]
        if self._source[self._at] == "\\" and follows in _ESCAPABLE:
            self._at += 2
            return follows
        plain = self._take(_TEXT)
        if plain:
            return plain[0]
        self._at += 1
        return self._source[self._at - 1]

    def _choice(self, depth: int) -> Choice:
        start = self._at
        if depth > MAX_DEPTH:
            raise self.refusal(f"is nested too deep: {MAX_DEPTH} levels are possible")
        self._at += 1
        how_many = self._take(_HOW_MANY)
        separator = self._take(_SEPARATOR) if how_many else None
        options = tuple(self._options(depth))
        if self.is_at_end:
            self._at = start
            raise self.refusal(r"is never closed; write \{ for the character itself")
        self._at += 1
        fewest, most = (int(how_many[1]), int(how_many[2] or how_many[1])) if how_many else (1, 1)
        self._refuse_impossible(options, fewest, most, start)
        return Choice(options, fewest, most, separator[1] if separator else DEFAULT_SEPARATOR)

    def _options(self, depth: int) -> Iterator[Option]:
        is_last = False
        while not is_last:
            weight = self.weight()
            yield Option(weight, _stripped(self.parts(depth=depth)))
            is_last = self.is_at_end or self._source[self._at] == "}"
            if not is_last:
                self._at += 1

    def _refuse_impossible(self, options: tuple[Option, ...], fewest: int, most: int, start: int) -> None:
        usable = sum(option.weight > 0 for option in options)
        if len(options) > MAX_OPTIONS:
            why = f"has {len(options)} options: {MAX_OPTIONS} are possible"
        elif fewest > most:
            why = f"asks for at least {fewest} and at most {most}"
        elif most > usable:
            why = f"asks for {most} of its options, and {usable} can be chosen"
        else:
            return
        self._at = start
        raise self.refusal(why)

    def weight(self) -> float:
        found = self._take(_WEIGHT)
        return float(found[1]) if found else 1.0

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._source, self._at)
        if found:
            self._at = found.end()
        return found


def _joined(parts: list[Part]) -> Iterator[Part]:
    """Make one text of those that stand side by side."""
    text = ""
    for part in parts:
        if isinstance(part, Text):
            text += part.text
            continue
        if text:
            yield Text(text)
        text = ""
        yield part
    if text:
        yield Text(text)


def _stripped(parts: Parts) -> Parts:
    found = list(parts)
    if found and isinstance(found[0], Text):
        found[0] = Text(found[0].text.lstrip())
    if found and isinstance(found[-1], Text):
        found[-1] = Text(found[-1].text.rstrip())
    return tuple(found)
