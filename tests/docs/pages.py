"""What the pages, the container files and the settings say, as data to compare."""

import ast
import re
from pathlib import Path

from isengard import settings

PROJECT = Path(__file__).resolve().parents[2]
README = PROJECT / "README.md"
PAGES = [README, PROJECT / "CHANGELOG.md", *sorted((PROJECT / "docs").glob("*.md"))]
# Read before the others, from the environment alone.
ONLY_IN_THE_ENVIRONMENT = {"ISENGARD_ENV_FILE"}
READERS = ("choice", "at_least")
WHERE_THEY_ARE_READ = ("settings.py", "environment.py")


def settings_read() -> dict[str, ast.Call]:
    """Return every name that the settings read from the environment, with the call that reads it."""
    trees = [ast.parse((PROJECT / "isengard" / name).read_text()) for name in WHERE_THEY_ARE_READ]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    calls = [node for node in nodes if isinstance(node, ast.Call) and _reads_the_environment(node.func)]
    # The same name may be read twice; the first reading is the one with its default.
    return {_first_word(call): call for call in reversed(calls) if _first_word(call)}


def _reads_the_environment(function: ast.expr) -> bool:
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return function.value.id == "env" and function.attr != "read_env"
    return isinstance(function, ast.Name) and function.id in READERS


def _first_word(call: ast.Call) -> str:
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def read_by_tests() -> set[str]:
    """Return what tells the tests where a real engine is."""
    found = (re.findall(r'"(ISENGARD_TEST_[A-Z_]+)"', path.read_text()) for path in (PROJECT / "tests").rglob("*.py"))
    return {name for names in found for name in names}


def is_passed_on_to_trainers(name: str) -> bool:
    return name.startswith(settings._TRAINER_PREFIXES)


def section(page: Path, heading: str) -> str:
    """Return what stands below a second-level heading."""
    _, _, rest = page.read_text().partition(f"\n## {heading}\n")
    assert rest, f"{page.name} has no section {heading!r}"
    return rest.partition("\n## ")[0]


def tables(text: str) -> list[list[list[str]]]:
    """Return each table's rows of cells, without its head."""
    found = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    return [[_cells(line) for line in table.splitlines()[2:]] for table in found]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split(" | ")]


def code_in(text: str) -> str:
    """Return what is set as code: fenced blocks and spans."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    without_fences = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join([*fenced, *re.findall(r"`([^`\n]+)`", without_fences)])


def bash_blocks(text: str) -> str:
    return "\n".join(re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
