from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from characters.lora_verification import differences
from characters.models import Lora


class Command(BaseCommand):
    help = "Check the LoRA library: that each file is still what its row says."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        verify = actions.add_parser(
            "verify", help="read each file and hold it against its row; a line for each problem"
        )
        verify.add_argument("ids", nargs="*", metavar="ID", help="only these LoRAs (default: all)")
        verify.add_argument("--json", action="store_true", help="for machines")

    def handle(self, *_arguments: Any, **options: Any) -> None:
        count = wrong = 0
        for lora in _chosen(options["ids"]):
            problems = differences(lora)
            count, wrong = count + 1, wrong + bool(problems)
            self.stdout.write(_as_json(lora, problems) if options["json"] else _as_lines(lora, problems))
        if wrong:
            raise CommandError(f"{wrong} of {count} LoRAs differ from their rows.")


def _chosen(ids: list[str]) -> Iterable[Lora]:
    if not ids:
        return Lora.objects.order_by("created_at", "id").iterator()
    found = {lora.pk: lora for lora in Lora.objects.filter(pk__in=ids)}
    unknown = [lora_id for lora_id in ids if lora_id not in found]
    if unknown:
        raise CommandError(f"LoRA {unknown[0]} not found.")
    return [found[lora_id] for lora_id in dict.fromkeys(ids)]


def _as_json(lora: Lora, problems: list[str]) -> str:
    return orjson.dumps({"id": lora.pk, "key": lora.key, "is_intact": not problems, "problems": problems}).decode()


def _as_lines(lora: Lora, problems: list[str]) -> str:
    return "\n".join(f"{lora.pk}  {lora.key}  {text}" for text in problems or ["ok"])
