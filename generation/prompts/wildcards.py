"""Wildcards: text files of an operator's, a line for each thing that may stand in a prompt. Framework-free."""

from dataclasses import dataclass
from pathlib import Path

from generation.prompts.syntax import Parts, PromptRefused, parse, weight_of_line

EXTENSION = ".txt"
MAX_FILE_BYTES = 1_000_000
MAX_NAMES_TOLD = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    wildcard: str
    number: int
    weight: float
    prompt: str

    def parsed(self) -> Parts:
        """Raises PromptRefused."""
        try:
            return parse(self.prompt)
        except PromptRefused as exc:
            raise PromptRefused(f'line {self.number} of the wildcard "{self.wildcard}": {exc}') from exc


class WildcardFolder:
    """`hair.txt` is the wildcard `hair`, `clothes/hats.txt` is `clothes/hats`. Empty lines and `# remarks` are skipped.

    A file is read once; a new WildcardFolder sees its changes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, list[Line]] = {}

    def require(self, name: str) -> Path:
        """Return where the wildcard is. Raises PromptRefused.

        The syntax leaves no dot in a name, so that none leads out of the folder.
        """
        path = self._folder / f"{name.strip('/')}{EXTENSION}"
        if not _is_file(path):
            raise PromptRefused(f'there is no wildcard "{name[:100]}"; {self._known()}.')
        return path

    def lines(self, name: str) -> list[Line]:
        """Return the lines that can be chosen, of which there is at least one. Raises PromptRefused."""
        if name not in self._read:
            lines = [_line(name, number, text) for number, text in self._numbered(name)]
            self._read[name] = [line for line in lines if line.weight > 0]
        if not self._read[name]:
            raise PromptRefused(f'the wildcard "{name}" is empty.')
        return self._read[name]

    def names(self) -> list[str]:
        """Return what may stand between double underscores."""
        if not self._folder.is_dir():
            return []
        paths = self._folder.rglob(f"*{EXTENSION}")
        return sorted(path.relative_to(self._folder).as_posix().removesuffix(EXTENSION) for path in paths)

    def _numbered(self, name: str) -> list[tuple[int, str]]:
        path = self.require(name)
        try:
            with path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
            text = content.decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as exc:
            raise PromptRefused(f'the wildcard "{name}" cannot be read: its file must be text in UTF-8.') from exc
        if len(content) > MAX_FILE_BYTES:
            raise PromptRefused(f'the wildcard "{name}" is larger than {MAX_FILE_BYTES} bytes.')
        lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
        return [(number, line) for number, line in lines if line and not line.startswith("#")]

    def _known(self) -> str:
        names = self.names()
        if not names:
            return "there are none here"
        more = ", …" if len(names) > MAX_NAMES_TOLD else ""
        return "there are " + ", ".join(names[:MAX_NAMES_TOLD]) + more


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # A name that is too long for any file.
        return False


def _line(wildcard: str, number: int, text: str) -> Line:
    weight, prompt = weight_of_line(text)
    return Line(wildcard=wildcard, number=number, weight=weight, prompt=prompt)
