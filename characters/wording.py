"""What people may write into a character's name, description and trigger word."""

import unicodedata

from django.core.exceptions import ValidationError

BREAKS_A_LINE = ("Cc", "Zl", "Zp")
LAYOUT = "\n\r\t"
# A mark belongs to the letter before it: without them Hindi, Thai or Tamil could not be written.
WORD_CATEGORIES = ("L", "M", "Nd")
WORD_PUNCTUATION = "_- "


def check_line(text: str) -> None:
    """Raise ValidationError unless `text` is one line without control characters."""
    if any(unicodedata.category(character) in BREAKS_A_LINE for character in text):
        raise ValidationError("Control characters and line breaks are not allowed.", code="control")


def check_paragraphs(text: str) -> None:
    """Raise ValidationError if `text` has control characters other than line breaks and tabs."""
    if any(unicodedata.category(character) == "Cc" and character not in LAYOUT for character in text):
        raise ValidationError("Control characters are not allowed.", code="control")


def check_trigger_word(text: str) -> None:
    """Raise ValidationError unless `text` has only what no engine reads as syntax of its prompts or file names."""
    if not all(_is_part_of_a_word(character) for character in text) or unicodedata.category(text[:1] or " ")[0] == "M":
        raise ValidationError("Use only letters, digits, '_', '-' and spaces.", code="syntax")


def _is_part_of_a_word(character: str) -> bool:
    return character in WORD_PUNCTUATION or unicodedata.category(character).startswith(WORD_CATEGORIES)
