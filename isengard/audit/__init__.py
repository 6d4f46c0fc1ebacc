"""Holds rows against files, files against rows, and rows against each other, while everything runs."""

from isengard.audit.examination import examine
from isengard.audit.finding import Finding

__all__ = ["Finding", "examine"]
