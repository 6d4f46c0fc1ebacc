"""Looks at everything that Isengard stands on, and says what to do about what is wrong."""

from isengard.doctor.examination import PARTS, examine
from isengard.doctor.finding import Finding, Level

__all__ = ["PARTS", "Finding", "Level", "examine"]
