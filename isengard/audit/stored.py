"""The files that rows name: there, of their size, readable by the server, and what they were when they were stored."""

import hashlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.files.storage import default_storage
from django.db.models import Model

from isengard.audit.finding import Finding
from isengard.backup.parts import NAMED
from isengard.stored_files import NAMINGS, NamedFile, named_files

CHUNK_BYTES = 1024 * 1024
READ, WRITE, ENTER = os.R_OK, os.W_OK, os.X_OK

# The code and the sentence of what is wrong with a file.
Fault = tuple[str, str]
Look = Callable[[NamedFile], Fault | None]


def check_named_files() -> Iterator[Finding]:
    yield from _looked_at(_fault_outside)


def check_contents() -> Iterator[Finding]:
    """Read every file whose row knows its sha256. LoRAs are read by a check of their own."""
    yield from _looked_at(_fault_inside, leaving="characters.lora")


def _looked_at(look: Look, leaving: str = "") -> Iterator[Finding]:
    for label in NAMINGS.keys() - {leaving}:
        model = apps.get_model(label)
        for pk, file in named_files(model):
            fault = look(file)
            if fault is not None:
                yield _finding(fault, file, partial(_is_still_so, model, pk, file, look=look))


def _finding(fault: Fault, file: NamedFile, is_still_so: Callable[[], bool]) -> Finding:
    code, text = fault
    if code == "unreadable_file":
        advice = f"Give it to the user who owns {settings.DATA_DIR}, or let that user read it."
    else:
        advice = f"Copy `files/{file.key}` of a backup back into the data directory, or delete what names it."
    return Finding(code=code, subject=file.key, text=text, advice=advice, is_still_so=is_still_so)


def _is_still_so(model: type[Model], pk: Any, file: NamedFile, *, look: Look) -> bool:
    """What was deleted meanwhile has lost its row first."""
    named = {NAMINGS[model._meta.label_lower].key: file.key}
    return look(file) is not None and model._base_manager.filter(pk=pk, **named).exists()


def _fault_outside(file: NamedFile) -> Fault | None:
    try:
        size_bytes = default_storage.size(file.key)
    except FileNotFoundError:
        return "missing_file", "A row names it, and there is no such file."
    except OSError as exc:
        return "unreadable_file", f"It cannot be read: {exc.strerror or exc}."
    if file.size_bytes not in (None, size_bytes):
        return "wrong_size", f"It has {size_bytes} bytes instead of {file.size_bytes}."
    if not server_may(file.key, READ):
        return "unreadable_file", "The user of the data directory cannot read it."
    return None


def _fault_inside(file: NamedFile) -> Fault | None:
    if file.sha256 is None:
        return None
    try:
        found = _sha256(file.key)
    except FileNotFoundError:
        # Told already.
        return None
    except OSError as exc:
        return "unreadable_file", f"It cannot be read: {exc.strerror or exc}."
    return None if found == file.sha256 else ("damaged_file", f"Its sha256 is {found} instead of {file.sha256}.")


def _sha256(key: str) -> str:
    digest = hashlib.sha256()
    with default_storage.open(key, "rb") as content:
        for chunk in content.chunks(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def check_folders() -> Iterator[Finding]:
    for folder in NAMED:
        if not _is_usable(folder):
            yield Finding(
                code="closed_folder",
                subject=folder,
                text="The user of the data directory cannot write into it.",
                advice=f"Give it to the user who owns {settings.DATA_DIR}.",
                is_still_so=partial(_is_closed, folder),
            )


def _is_usable(folder: str) -> bool:
    return server_may(folder, READ | WRITE | ENTER)


def _is_closed(folder: str) -> bool:
    return not _is_usable(folder)


def server_may(key: str, wanted: int) -> bool:
    """Return whether the owner of the data directory, who is taken for the server's user, has these rights.

    The rights of whoever types the command say nothing: it is often root.
    """
    try:
        facts, server = Path(default_storage.path(key)).stat(), Path(settings.MEDIA_ROOT).stat()
    except (NotImplementedError, FileNotFoundError):
        return True
    if server.st_uid == 0:
        return True
    shift = 6 if facts.st_uid == server.st_uid else 3 if facts.st_gid == server.st_gid else 0
    return (facts.st_mode >> shift) & wanted == wanted
