"""`manage.py loras verify`: each file against its row."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from characters.models import Lora
from tests.characters.lora_making import UNKNOWN_LORA, lora_bytes, upload_lora

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.RATE_LIMITS = "off"
    settings.MEDIA_ROOT = str(tmp_path)
    return tmp_path


@pytest.fixture
def lora() -> Lora:
    return Lora.objects.get(pk=upload_lora()["id"])


def verify(*arguments: str) -> str:
    output = StringIO()
    call_command("loras", "verify", *arguments, stdout=output)
    return output.getvalue()


def problems_found(*arguments: str) -> list[str]:
    output = StringIO()
    with pytest.raises(CommandError, match="1 of 1 LoRAs differ from their rows"):
        call_command("loras", "verify", "--json", *arguments, stdout=output)
    verdict = json.loads(output.getvalue())
    assert verdict["is_intact"] is False
    return list(verdict["problems"])


def test_intact_loras_are_listed_as_such(lora: Lora) -> None:
    other = Lora.objects.get(pk=upload_lora(lora_bytes(0.5))["id"])
    assert verify() == f"{lora.pk}  {lora.key}  ok\n{other.pk}  {other.key}  ok\n"
    assert json.loads(verify(other.pk, "--json")) == {
        "id": other.pk,
        "key": other.key,
        "is_intact": True,
        "problems": [],
    }


def test_an_empty_library_is_intact() -> None:
    assert verify() == ""


def test_a_missing_file_is_found(lora: Lora, root: Path) -> None:
    (root / lora.key).unlink()
    assert problems_found() == ["The file cannot be opened: No such file or directory."]


def test_a_changed_file_is_found(lora: Lora, root: Path) -> None:
    (root / lora.key).write_bytes(lora_bytes(0.5))
    (problem,) = problems_found(lora.pk)
    assert problem.startswith("The file's sha256 is ")
    assert problem.endswith(f" instead of {lora.sha256}.")


def test_a_file_that_was_cut_off_is_found(lora: Lora, root: Path) -> None:
    (root / lora.key).write_bytes(lora_bytes()[:-5])
    size, _sha256, header = problems_found()
    assert size == f"The file has {lora.size_bytes - 5} bytes instead of {lora.size_bytes}."
    assert header == "The file is no usable LoRA: The file is cut off; bytes missing at its end: 5."


def test_a_file_of_other_facts_than_its_row_is_found(lora: Lora) -> None:
    Lora.objects.update(details=lora.details | {"ranks": [64]})
    assert problems_found() == ["The file's ranks is [4] instead of [64]."]


def test_an_unknown_id_is_an_error(lora: Lora) -> None:
    with pytest.raises(CommandError, match=f"LoRA {UNKNOWN_LORA} not found."):
        verify(lora.pk, UNKNOWN_LORA)
