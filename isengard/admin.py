"""What the admin shows beyond the rows of single apps."""

from characters.admin import related
from isengard.cockpit import accounts, trail  # noqa: F401
from isengard.cockpit.character_work import JobsOfCharacters

related.connect(JobsOfCharacters())
