"""What the doctor found wrong, and the patience not to find what only this machine is to blame for."""

import pytest

from generation.engines.comfyui import capabilities, vitals
from isengard.doctor import Finding, Level, comfyui_vitals, examine


def findings(part: str | None = None) -> list[Finding]:
    return [finding for finding in examine(part) if finding.level != Level.OK]


def the_finding(part: str | None = None) -> Finding:
    """Return the only one that is not ok."""
    found = findings(part)
    assert len(found) == 1, found
    assert found[0].advice
    return found[0]


def wait_for_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Call none slow or away because this machine is busy."""
    monkeypatch.setattr(comfyui_vitals, "SLOW_SECONDS", 60.0)
    for module in (capabilities, vitals):
        for name in ("READY_SECONDS", "PROBE_READ_SECONDS", "CONNECT_SECONDS", "READ_SECONDS"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, 60.0)
