"""Several people, or one impatient one, at the same LoRA at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from characters import loras
from characters.lora_uploads import SentLora, UploadedLora, add_lora
from characters.models import Lora
from tests.characters.lora_making import lora_bytes

pytestmark = pytest.mark.django_db(transaction=True)

THREADS = 6


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = str(tmp_path)
    return tmp_path


def all_at_once(act: Callable[[int], Any]) -> list[Any]:
    """Return what `act` gave each thread, or the Lora.DoesNotExist it raised."""
    start = Barrier(THREADS)

    def run(number: int) -> Any:
        start.wait(timeout=30)
        try:
            return act(number)
        except Lora.DoesNotExist as gone:
            return gone
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def sent(root: Path, number: int = 0) -> SentLora:
    path = root / f"arriving-{number}"
    path.write_bytes(lora_bytes())
    return SentLora(sent_as=f"{number}.safetensors", path=path, name=f"Style {number}", trigger_word="")


def stored(root: Path) -> list[Path]:
    return [path for path in (root / "loras").rglob("*") if path.is_file()]


def test_one_file_sent_many_times_at_once_is_kept_once(root: Path) -> None:
    outcomes: list[UploadedLora] = all_at_once(lambda number: add_lora(sent(root, number)))
    kept = Lora.objects.get()
    assert [outcome.lora.pk for outcome in outcomes] == [kept.pk] * THREADS
    assert [outcome.is_new for outcome in outcomes].count(True) == 1
    assert stored(root) == [root / kept.key]


def test_a_lora_deleted_by_many_at_once_is_deleted_once(root: Path) -> None:
    lora_id = add_lora(sent(root)).lora.pk
    outcomes = all_at_once(lambda _: loras.delete_lora(lora_id))
    assert outcomes.count(None) == 1
    assert stored(root) == []
