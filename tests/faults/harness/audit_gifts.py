"""What customers gave, against what the API still has of it."""

from collections.abc import Iterable, Iterator

import requests

from tests.faults.harness.finding import Finding
from tests.faults.harness.ledger import Gift
from tests.faults.harness.wholeness import why_broken

ANSWER_SECONDS = 30
ADDRESSES = {
    "character": "/api/characters/{name}",
    "photo": "/api/characters/{character}/images/{name}",
    "image": "/api/generation/images/{name}",
    "LoRA": "/api/loras/{name}",
}


def audit_gifts(url: str, gifts: Iterable[Gift]) -> Iterator[Finding]:
    """`url`: the API, reached past all faults. The same photo given twice is one."""
    for gift in dict.fromkeys(gifts):
        address = ADDRESSES[gift.kind].format(name=gift.name, character=gift.character)
        answer = requests.get(url + address, timeout=ANSWER_SECONDS)
        if answer.status_code != requests.codes.ok:
            yield Finding("lost", f"the {gift.kind} {gift.name} was taken, and {address} says {answer.status_code}")
        elif gift.kind in ("photo", "image") and (why := why_broken(gift.name, answer.content)):
            yield Finding("torn file", f"the {gift.kind} {gift.name} is not whole: {why}")
