"""Names for photos: as the person had them, as far as that is safe in a URL, a header and a shell."""

import itertools
import re
import unicodedata
from collections.abc import Collection

from characters.models import FILE_NAME_MAX_LENGTH

FALLBACK_STEM = "photo"
SAME_FORMAT = {".jpg": (".jpg", ".jpeg"), ".png": (".png",), ".webp": (".webp",)}
PATH_SEPARATORS = re.compile(r"[/\\]")
AWKWARD = re.compile(r'[<>:"|?*#%]')
LEADING, TRAILING = re.compile(r"\A[\s.-]+"), re.compile(r"[\s.]+\Z")
SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,4}$")


def cleaned(sent_as: str) -> str:
    """Return the last part of a path in NFC, without control and direction characters; it may be empty."""
    last = PATH_SEPARATORS.split(sent_as)[-1]
    visible = "".join(character for character in last if not _is_hidden(character))
    return unicodedata.normalize("NFC", visible).strip()[:FILE_NAME_MAX_LENGTH]


def public_name(sent_as: str, extension: str) -> str:
    """Return a safe name for a photo whose format is the one of `extension` (".jpg", ".png" or ".webp")."""
    name = AWKWARD.sub("_", cleaned(sent_as))
    found = SUFFIX.search(name)
    suffix = found.group() if found else ""
    stem = TRAILING.sub("", LEADING.sub("", name.removesuffix(suffix))) or FALLBACK_STEM
    return _joined(stem, suffix if suffix.lower() in SAME_FORMAT[extension] else extension)


def free_name(wanted: str, taken: Collection[str]) -> str:
    """Return `wanted`, or the first of `wanted-2`, `wanted-3`, … that is not taken."""
    if wanted not in taken:
        return wanted
    stem, dot, extension = wanted.rpartition(".")
    numbered = (_joined(stem, f"-{number}{dot}{extension}") for number in itertools.count(2))
    return next(name for name in numbered if name not in taken)


def _joined(stem: str, ending: str) -> str:
    return TRAILING.sub("", stem[: FILE_NAME_MAX_LENGTH - len(ending)]) + ending


def _is_hidden(character: str) -> bool:
    category = unicodedata.category(character)
    return category.startswith("C") or category in ("Zl", "Zp")
