"""Whether a LoRA's file is still what its row says."""

import hashlib
from collections.abc import Iterator
from typing import Any

from django.core.files.base import File
from django.core.files.storage import default_storage

from characters.lora_uploads import recorded_facts
from characters.models import Lora
from characters.safetensors_files import LoraRefused, inspect


def differences(lora: Lora) -> list[str]:
    """Return what is wrong with the file, each as a sentence; nothing if all is well. Reads the whole file."""
    try:
        content = default_storage.open(lora.key, "rb")
    except OSError as exc:
        return [f"The file cannot be opened: {exc.strerror or exc}."]
    with content:
        return [*_different_bytes(lora, content), *_different_facts(lora, content)]


def _different_bytes(lora: Lora, content: "File[Any]") -> Iterator[str]:
    if content.size != lora.size_bytes:
        yield f"The file has {content.size} bytes instead of {lora.size_bytes}."
    digest = hashlib.sha256()
    for chunk in content.chunks():
        digest.update(chunk)
    if digest.hexdigest() != lora.sha256:
        yield f"The file's sha256 is {digest.hexdigest()} instead of {lora.sha256}."


def _different_facts(lora: Lora, content: "File[Any]") -> Iterator[str]:
    try:
        found = recorded_facts(inspect(content))
    except LoraRefused as refused:
        yield f"The file is no usable LoRA: {refused}"
        return
    # What a trainer's adapter wrote down has fewer facts than an upload.
    recorded = {name: lora.details[name] for name in found if name in lora.details}
    for name, value in recorded.items():
        if found[name] != value:
            yield f"The file's {name} is {found[name]} instead of {value}."
