from collections import Counter
from dataclasses import asdict
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser

from isengard.doctor import PARTS, Finding, Level, examine

AREA_WIDTH = 18


class Command(BaseCommand):
    help = (
        "Check everything that Isengard stands on, and say what to do. Changes nothing; ends with 1 if a check failed."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("part", nargs="?", choices=PARTS, help="only what this kind of job needs")
        parser.add_argument("--json", action="store_true", help="for machines")

    def handle(self, *_arguments: Any, **options: Any) -> None:
        findings = []
        for finding in examine(options["part"]):
            findings.append(finding)
            if not options["json"]:
                self._write(finding)
        if options["json"]:
            described = [asdict(finding) for finding in findings]
            self.stdout.write(orjson.dumps(described, option=orjson.OPT_INDENT_2).decode())
        self._conclude(Counter(finding.level for finding in findings), is_json=options["json"])

    def _write(self, finding: Finding) -> None:
        styles = {Level.OK: self.style.SUCCESS, Level.WARNING: self.style.WARNING, Level.FAILED: self.style.ERROR}
        mark = styles[finding.level](f"{finding.level.value:<8}")
        self.stdout.write(f"{mark} {finding.area:<{AREA_WIDTH}} {finding.text}")
        if finding.advice:
            self.stdout.write(f"{'':9}{'':{AREA_WIDTH}} → {finding.advice}")

    def _conclude(self, counts: Counter[Level], *, is_json: bool) -> None:
        summary = ", ".join(f"{counts[level]} {level.value}" for level in Level)
        if counts[Level.FAILED]:
            raise CommandError(f"Not healthy: {summary}.")
        if not is_json:
            self.stdout.write(f"Healthy: {summary}.")
