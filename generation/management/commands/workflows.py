from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from generation import presets
from generation.offers import workflow_refusals
from generation.workflow_choice import folder, own_workflows
from generation.workflows.folder import Broken
from generation.workflows.workflow import Workflow


class Command(BaseCommand):
    help = (
        "List the operator's own workflows and presets, or check them: the files, and whether a server has what "
        "the workflows need. A check ends with 1 if anything is wrong."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", nargs="?", choices=("check", "list"), default="list")

    def handle(self, *_arguments: Any, **options: Any) -> None:
        is_check = options["action"] == "check"
        found, own = own_workflows(), presets.own_presets()
        if not found and not own:
            self.stdout.write(f"There is nothing in {folder()} nor in {presets.folder()}.")
            return
        wrong = [self._tell(each, is_check=is_check) for each in found.values()]
        wrong += [self._tell_preset(name, preset) for name, preset in own.items()]
        if is_check and any(wrong):
            raise CommandError(f"{sum(wrong)} of {len(wrong)} cannot be used.")

    def _tell(self, found: Workflow | Broken, *, is_check: bool) -> bool:
        """Return whether something is wrong with it."""
        if isinstance(found, Broken):
            return self._complain(f"workflow {found.name}", found.reason)
        reasons = [reason for _, reason in workflow_refusals(found)] if is_check else []
        if reasons:
            return self._complain(f"workflow {found.name}", reasons[0])
        self.stdout.write(f"workflow {found.name}: {found.title}; takes {', '.join(found.mapping.parameters)}")
        return False

    def _tell_preset(self, name: str, preset: presets.Preset | Broken) -> bool:
        if isinstance(preset, Broken):
            return self._complain(f"preset {name}", preset.reason)
        self.stdout.write(f"preset {name}: sets {', '.join(preset.config) or 'nothing for every model'}")
        return False

    def _complain(self, what: str, reason: str) -> bool:
        self.stdout.write(self.style.ERROR(f"{what}: {reason}"))
        return True
