"""What the doctor found wrong."""

from isengard.doctor import Finding, Level, examine


def findings(part: str | None = None) -> list[Finding]:
    return [finding for finding in examine(part) if finding.level != Level.OK]


def the_finding(part: str | None = None) -> Finding:
    """Return the only one that is not ok."""
    found = findings(part)
    assert len(found) == 1, found
    assert found[0].advice
    return found[0]
