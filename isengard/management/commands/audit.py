from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from isengard.audit import Finding, examine
from jobs import trail


class Command(BaseCommand):
    help = (
        "Hold rows against files, files against rows, and rows against each other. May be run at any time. "
        "Changes nothing without --repair; ends with 1 if anything is wrong."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--deep", action="store_true", help="read every file from beginning to end")
        parser.add_argument("--repair", action="store_true", help="mend what can be mended without any harm")
        parser.add_argument("--json", action="store_true", help="for machines")

    def handle(self, *_arguments: Any, **options: Any) -> None:
        try:
            findings = list(examine(is_deep=options["deep"]))
        except DatabaseError as exc:
            raise CommandError(f"The database cannot be read ({exc}): see `manage.py doctor`.") from exc
        repaired = [finding for finding in findings if options["repair"] and self._repair(finding)]
        if options["json"]:
            described = [finding.described() | {"is_repaired": finding in repaired} for finding in findings]
            self.stdout.write(orjson.dumps(described, option=orjson.OPT_INDENT_2).decode())
        else:
            for finding in findings:
                self._write(finding, is_repaired=finding in repaired)
        self._conclude(len(findings), len(repaired), is_json=options["json"])

    def _repair(self, finding: Finding) -> bool:
        """Return whether it is mended."""
        if finding.repair is None:
            return False
        try:
            finding.repair()
            trail.note(str(finding.subject), f"Repaired: {finding.code}.")
        except FileNotFoundError:
            return True
        except (OSError, DatabaseError) as exc:
            self.stderr.write(f"{finding.subject} could not be mended: {exc}")
            return False
        return True

    def _write(self, finding: Finding, *, is_repaired: bool) -> None:
        mark = self.style.SUCCESS("repaired") if is_repaired else self.style.ERROR("wrong   ")
        self.stdout.write(f"{mark} {finding.code} {finding.subject}: {finding.text}")
        if not is_repaired:
            repairable = " (`--repair` can mend it.)" if finding.repair and "--repair" not in finding.advice else ""
            self.stdout.write(f"{'':9}→ {finding.advice}{repairable}")

    def _conclude(self, found: int, repaired: int, *, is_json: bool) -> None:
        if found > repaired:
            raise CommandError(f"{found - repaired} things are wrong.")
        if not is_json:
            self.stdout.write(f"All is well, {repaired} things were repaired." if repaired else "All is well.")
