"""What the customers of a run ask for: the same list for the same seed."""

from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

CHARACTERS = 3
TRAINING_SHARE = 0.15
SIDE_PIXELS = 512

Sending = Literal["once", "twice at once", "answer lost"]
When = Literal["never", "at once", "while it runs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """`character`: whose number; `gives`: what is uploaded for it first; `again`: repeated once it has ended."""

    number: int
    kind: Literal["training", "generation"]
    config: dict[str, Any]
    sending: Sending
    cancelled: When
    character: int = 0
    count: int = 1
    gives: Literal["nothing", "an image", "a LoRA", "photos"] = "nothing"
    again: bool = False
    is_followed: bool = field(default=False)


def planned_orders(seed: int, how_many: int) -> list[Order]:
    chance = Random(f"orders {seed}")
    return [_order(chance, number) for number in range(how_many)]


def _order(chance: Random, number: int) -> Order:
    common: dict[str, Any] = {
        "number": number,
        "sending": chance.choices(("once", "twice at once", "answer lost"), (80, 8, 12))[0],
        "cancelled": chance.choices(("never", "at once", "while it runs"), (88, 5, 7))[0],
        "again": chance.random() < 0.06,
        "is_followed": chance.random() < 0.3,
    }
    make = _training if chance.random() < TRAINING_SHARE else _generation
    return make(chance, common)


def _training(chance: Random, common: dict[str, Any]) -> Order:
    config = {
        "steps": chance.choice((200, 300, 500)),
        "checkpoint_every_n_steps": 100,
        "sample_every_n_steps": chance.choice((100, 1000)),
        "sample_count": 1,
        "lora_rank": 4,
        "resolution": 512,
    }
    gives = chance.choices(("nothing", "photos"), (80, 20))[0]
    return Order(kind="training", config=config, character=chance.randrange(CHARACTERS), gives=gives, **common)


def _generation(chance: Random, common: dict[str, Any]) -> Order:
    config = {
        "prompt": f"portrait number {common['number']}",
        "width": SIDE_PIXELS,
        "height": SIDE_PIXELS,
        "steps": chance.choice((4, 8, 20, 50)),
        "seed": common["number"] * 1000,
    }
    gives = chance.choices(("nothing", "an image", "a LoRA"), (80, 10, 10))[0]
    return Order(kind="generation", config=config, count=chance.choice((1, 1, 2, 3)), gives=gives, **common)
