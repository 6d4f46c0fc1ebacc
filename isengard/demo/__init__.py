"""A believable month of work, so that an installation can be looked at before it has done any."""

from isengard.demo.filling import DemoRefused, Removed, fill, remove

__all__ = ["DemoRefused", "Removed", "fill", "remove"]
