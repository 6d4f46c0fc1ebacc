"""What the admin shows beyond the rows of single apps."""

from isengard.cockpit import accounts  # noqa: F401
