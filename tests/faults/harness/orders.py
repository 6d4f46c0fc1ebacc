"""What the customers of a run ask for: the same list for the same seed."""

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Literal

CHARACTERS = 3
TRAINING_SHARE = 0.15
SIDE_PIXELS = 512
# Nobody misses the one, and a training of so many steps cannot but miss the other, which is the shortest there is.
GENEROUS_SECONDS, TOO_SHORT_SECONDS = 86_400, 5
HOPELESS_STEPS = 4000

Sending = Literal["once", "twice at once", "answer lost"]
When = Literal["never", "at once", "while it runs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """`character`: whose number; `gives`: what is uploaded for it first; `again`: repeated once it has ended;
    `is_hopeless`: it cannot end by its deadline."""

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
    deadline_seconds: int | None = None
    starts_in_seconds: float = 0.0
    is_hopeless: bool = False


def planned_orders(seed: int, how_many: int) -> list[Order]:
    chance = Random(f"orders {seed}")
    times = Random(f"times {seed}")
    return [_timed(times, _order(chance, number)) for number in range(how_many)]


def _timed(chance: Random, order: Order) -> Order:
    """Give some orders a deadline or a time to start at."""
    wish = chance.choices(("none", "generous", "too short", "later"), (82, 7, 4, 7))[0]
    later = round(chance.uniform(2.0, 8.0), 1)
    if wish == "generous":
        return replace(order, deadline_seconds=GENEROUS_SECONDS)
    if wish == "later":
        return replace(order, starts_in_seconds=later)
    if wish == "too short" and order.kind == "training":
        config = order.config | {"steps": HOPELESS_STEPS, "checkpoint_every_n_steps": 1000}
        return replace(
            order,
            config=config,
            deadline_seconds=TOO_SHORT_SECONDS,
            is_hopeless=True,
            cancelled="never",
            again=False,
        )
    return order


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
