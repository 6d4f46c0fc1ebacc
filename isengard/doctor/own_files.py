"""The operator's workflows and presets: files that people write by hand."""

from collections.abc import Iterator

from generation import presets, workflow_choice
from generation.workflows.folder import Broken
from isengard.doctor.finding import Finding, ok, warning

AREA = "own workflows"
ADVICE = "Mend or remove it; `manage.py workflows check` also asks the servers."


def check_own_files() -> Iterator[Finding]:
    workflows, own_presets = workflow_choice.own_workflows(), presets.own_presets()
    found = {
        **{f"workflow {name}": each for name, each in workflows.items()},
        **{f"preset {name}": each for name, each in own_presets.items()},
    }
    for name, each in found.items():
        if isinstance(each, Broken):
            yield warning(AREA, f"{name} cannot be used: {each.reason}", ADVICE)
        else:
            yield ok(AREA, f"{name} is well-formed")
