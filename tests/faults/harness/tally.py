"""What a run amounts to, as a table."""

from collections import Counter
from dataclasses import dataclass, field

from tests.faults.harness.finding import KINDS, Finding

WIDTH = 26


@dataclass
class Tally:
    """`counts` are facts of the run, in the order in which they are printed."""

    counts: dict[str, object] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not self.findings

    def as_lines(self) -> list[str]:
        lines = [f"{name:<{WIDTH}} {value}" for name, value in self.counts.items()]
        found = Counter(finding.kind for finding in self.findings)
        lines += [f"{kind:<{WIDTH}} {found[kind]}" for kind in KINDS]
        return lines + [f"  {finding.kind}: {finding.what}" for finding in self.findings]
