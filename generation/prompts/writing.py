"""Writing out a prompt with choices. The same prompt, wildcards and key give the same text. Framework-free."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import TypeVar

from generation.prompts.syntax import Choice, Parts, PromptRefused, Text, Wildcard, parse, wildcards_in
from generation.prompts.wildcards import WildcardFolder

# A wildcard's line may name others: each of ten lines with ten others in it would never come to an end.
MAX_WILDCARDS = 100
MAX_NESTED_WILDCARDS = 10
MAX_CHARACTERS = 10_000

T = TypeVar("T")


def write_out(prompt: str, wildcards: WildcardFolder, *, key: str) -> str:
    """Return the prompt with everything chosen; `key` decides what. Raises PromptRefused."""
    parts = parse(prompt)
    # One that does not exist is refused whether or not it would be chosen this time.
    for name in wildcards_in(parts):
        wildcards.require(name)
    return _Writer(wildcards, key).write(parts)


class _Writer:
    def __init__(self, wildcards: WildcardFolder, key: str) -> None:
        self._wildcards = wildcards
        # It decides about words, not about secrets; seeded with a text it is the same on every machine.
        self._random = Random(key)  # noqa: S311
        self._written_wildcards = 0
        self._characters = 0

    def write(self, parts: Parts) -> str:
        return "".join(self._written(parts, depth=0))

    def _written(self, parts: Parts, *, depth: int) -> Iterator[str]:
        for part in parts:
            match part:
                case Text(text):
                    yield self._counted(text)
                case Wildcard(name):
                    yield from self._wildcard(name, depth)
                case Choice():
                    yield from self._choice(part, depth)

    def _choice(self, choice: Choice, depth: int) -> Iterator[str]:
        weights = [option.weight for option in choice.options]
        how_many = self._random.randint(choice.fewest, choice.most)
        for place, option in enumerate(self._chosen(choice.options, weights, how_many=how_many)):
            if place:
                yield self._counted(choice.separator)
            yield from self._written(option.parts, depth=depth)

    def _wildcard(self, name: str, depth: int) -> Iterator[str]:
        if depth >= MAX_NESTED_WILDCARDS:
            raise PromptRefused(f'the wildcard "{name}" leads back to itself, or is nested too deep.')
        self._written_wildcards += 1
        if self._written_wildcards > MAX_WILDCARDS:
            raise PromptRefused(f"more than {MAX_WILDCARDS} wildcards would be written out.")
        lines = self._wildcards.lines(name)
        line = self._chosen(lines, [line.weight for line in lines], how_many=1)[0]
        yield from self._written(line.parsed(), depth=depth + 1)

    def _chosen(self, options: Sequence[T], weights: list[float], *, how_many: int) -> list[T]:
        """Return so many options, none twice."""
        chosen: list[T] = []
        left = list(weights)
        for _ in range(how_many):
            place = self._random.choices(range(len(options)), weights=left)[0]
            chosen.append(options[place])
            left[place] = 0
        return chosen

    def _counted(self, text: str) -> str:
        self._characters += len(text)
        if self._characters > MAX_CHARACTERS:
            raise PromptRefused(f"it would be longer than {MAX_CHARACTERS} characters.")
        return text
