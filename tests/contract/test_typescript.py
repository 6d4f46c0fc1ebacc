"""Types that openapi-typescript makes of the document, compiled against the types that the frontend was promised."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from isengard.api.schema.views import document

PROJECT = Path(__file__).with_name("typescript")
SOURCES = ("package.json", "tsconfig.json", "contract.ts", "assignments.ts")
INSTALL = ("npm", "ci", "--no-audit", "--no-fund", "--fetch-retries", "5")
INSTALL_SECONDS = 300
COMPILE_SECONDS = 240
# One test waits for the installation, the generation and its own compilation.
pytestmark = pytest.mark.timeout(INSTALL_SECONDS + 3 * COMPILE_SECONDS)


def run(*command: str, cwd: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=seconds, check=False)


@pytest.fixture(scope="module")
def node_modules() -> Path:
    """The compiler and the generator, installed once for each state of the lock file."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed, so no TypeScript was generated")
    folder = PROJECT / "node_modules"
    stamp = folder / ".installed"
    wanted = hashlib.sha256((PROJECT / "package-lock.json").read_bytes()).hexdigest()
    if not (stamp.is_file() and stamp.read_text() == wanted):
        installed = run(*INSTALL, cwd=PROJECT, seconds=INSTALL_SECONDS)
        if installed.returncode != 0:
            pytest.skip(f"npm ci failed, so no TypeScript was generated: {installed.stderr[-500:]}")
        stamp.write_text(wanted)
    return folder


@pytest.fixture(scope="module")
def project(node_modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the TypeScript project with `api.d.ts` generated from the document as it is now."""
    folder = tmp_path_factory.mktemp("typescript")
    for name in SOURCES:
        shutil.copy(PROJECT / name, folder)
    (folder / "node_modules").symlink_to(node_modules, target_is_directory=True)
    (folder / "openapi.json").write_text(json.dumps(document()))
    command = ("npm", "run", "--silent", "generate", "--", "openapi.json", "--output", "api.d.ts")
    generated = run(*command, cwd=folder, seconds=COMPILE_SECONDS)
    assert generated.returncode == 0, generated.stderr
    return folder


def compiled(project: Path) -> subprocess.CompletedProcess[str]:
    return run("npm", "run", "--silent", "check", cwd=project, seconds=COMPILE_SECONDS)


def test_the_generated_types_and_the_contracts_fit_in_both_directions(project: Path) -> None:
    result = compiled(project)
    assert result.returncode == 0, result.stdout


def test_a_document_that_breaks_the_contract_does_not_compile(project: Path) -> None:
    types = project / "api.d.ts"
    kept = types.read_text()
    assert "trigger_word: string;" in kept
    try:
        types.write_text(kept.replace("trigger_word: string;", "trigger_word: number;"))
        result = compiled(project)
    finally:
        types.write_text(kept)
    assert result.returncode != 0
    assert "trigger_word" in result.stdout


def test_the_lock_file_names_no_registry() -> None:
    packages = json.loads((PROJECT / "package-lock.json").read_text())["packages"]
    assert [name for name, package in packages.items() if "resolved" in package] == []
