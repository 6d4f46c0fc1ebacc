"""What a character's photos are worth as a dataset, in words: what is good, what is lacking, and what to do."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from django.core.files.storage import default_storage

from characters import image_traits
from characters.models import Character, TrainingImage

Tone = Literal["good", "hint", "bad"]

FEWEST_RECOMMENDED = 10
MOST_RECOMMENDED = 50
# The smallest resolution that is trained at: a smaller photo is enlarged, and the LoRA learns how that looks.
SMALL_SIDE_PIXELS = 512
# Of what is longer, most is cut off or shrunk away.
LONGEST_SHAPE = 2.0
# At the size that sharpness is measured at, photos in focus have hundreds, and drawings with large plain areas tens.
BLURRED_BELOW = 30.0
# Copies, other sizes and other qualities of a picture differ in 0 to 3 bits, other pictures usually in 15 and more.
NEAR_BITS = 4
UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`advice` is what to do; `photos` are those meant, in groups where they belong together."""

    tone: Tone
    title: str
    advice: str = ""
    photos: list[list[TrainingImage]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`unmeasured`: so many photos nobody has looked into yet, so that copies and blur among them are not found."""

    image_count: int
    unmeasured: int
    findings: list[Finding]

    @property
    def is_good(self) -> bool:
        return not any(finding.tone == "bad" for finding in self.findings)


def measure_missing(character_id: str, *, seconds: float) -> None:
    """Look into photos that were not measured, at least one of them, until `seconds` have passed."""
    deadline = time.monotonic() + seconds
    missing = TrainingImage.objects.filter(character_id=character_id, traits__isnull=True).order_by("pk")
    for pk, key in list(missing.values_list("pk", "key")):
        TrainingImage.objects.filter(pk=pk).update(traits=_traits_of(key))
        if time.monotonic() > deadline:
            return


def _traits_of(key: str) -> dict[str, Any]:
    try:
        with default_storage.open(key) as picture:
            return asdict(image_traits.measure(picture))
    except (OSError, image_traits.PictureUnreadable) as exc:
        return {UNREADABLE: str(exc)}


def report(character: Character) -> Report:
    """Return what is known now, from one query."""
    photos = list(character.images.order_by("pk"))
    found = [_count(len(photos))]
    if photos:
        found += [finding for check in _CHECKS for finding in check(photos)]
        found += _captions(photos, character.trigger_word)
    unmeasured = sum(photo.traits is None for photo in photos)
    order = ("bad", "hint", "good")
    return Report(
        image_count=len(photos), unmeasured=unmeasured, findings=sorted(found, key=lambda each: order.index(each.tone))
    )


def _count(count: int) -> Finding:
    between = f"{FEWEST_RECOMMENDED} to {MOST_RECOMMENDED}"
    if count == 0:
        return Finding(tone="bad", title="No photos yet", advice=f"Add {between}: close-ups, half and whole body.")
    title = "1 photo" if count == 1 else f"{count} photos"
    if count < FEWEST_RECOMMENDED:
        missing = FEWEST_RECOMMENDED - count
        more = f"Add {missing} more or so: with few photos a LoRA learns their background, light and clothes too."
        return Finding(tone="bad", title=f"{title}, few for a likeness", advice=more)
    if count > MOST_RECOMMENDED:
        fewer = f"{between} good ones are usually enough; more need more steps."
        return Finding(tone="hint", title=f"{title}, many for a likeness", advice=fewer)
    return Finding(tone="good", title=f"{title}, a good number")


def _sizes(photos: Sequence[TrainingImage]) -> Iterator[Finding]:
    small = [photo for photo in photos if min(photo.width, photo.height) < SMALL_SIDE_PIXELS]
    if small:
        yield Finding(
            tone="bad",
            title=f"{_some(len(small), len(photos))} smaller than {SMALL_SIDE_PIXELS} pixels",
            advice="Enlarged photos make a soft LoRA: replace them by larger ones, or leave them out.",
            photos=[small],
        )
    ordered = sorted(photos, key=lambda photo: photo.width * photo.height)
    least, most = (f"{photo.width} × {photo.height}" for photo in (ordered[0], ordered[-1]))
    sizes = f"All are {least} pixels" if least == most else f"Sizes from {least} to {most} pixels"
    yield Finding(tone="hint" if small else "good", title=sizes)


def _shapes(photos: Sequence[TrainingImage]) -> Iterator[Finding]:
    counted = Counter(_shape(photo) for photo in photos)
    shapes = ", ".join(f"{counted[name]} {name}" for name in ("upright", "square", "lying") if counted[name])
    yield Finding(tone="good", title=f"Shapes: {shapes}")
    long = [photo for photo in photos if _ratio(photo) > LONGEST_SHAPE]
    if long:
        yield Finding(
            tone="hint",
            title=f"{_some(len(long), len(photos))} more than {LONGEST_SHAPE:g} times as long as wide",
            advice="Crop them around the person: what is seen at the training's resolution is tiny otherwise.",
            photos=[long],
        )


def _shape(photo: TrainingImage) -> str:
    if _ratio(photo) < 1.05:
        return "square"
    return "upright" if photo.height > photo.width else "lying"


def _ratio(photo: TrainingImage) -> float:
    return max(photo.width, photo.height) / max(1, min(photo.width, photo.height))


def _near_duplicates(photos: Sequence[TrainingImage]) -> Iterator[Finding]:
    groups = list(_alike([photo for photo in photos if "dhash" in _traits(photo)]))
    if groups:
        spare = sum(len(group) - 1 for group in groups)
        yield Finding(
            tone="bad",
            title=f"{_some(spare, len(photos))} nearly the same as another",
            advice="Keep the best of each group: what is there twice counts twice, and the LoRA learns it by heart.",
            photos=groups,
        )
    elif len(photos) > 1 and all(photo.traits is not None for photo in photos):
        yield Finding(tone="good", title="No two look the same")


def _alike(photos: Sequence[TrainingImage]) -> Iterator[list[TrainingImage]]:
    """Yield groups in which each is close to some other."""
    left = list(photos)
    while left:
        group = [left.pop(0)]
        for member in group:
            close = [other for other in left if _are_close(member, other)]
            group += close
            left = [other for other in left if other not in close]
        if len(group) > 1:
            yield sorted(group, key=lambda photo: photo.pk)


def _are_close(one: TrainingImage, other: TrainingImage) -> bool:
    return image_traits.bits_apart(_traits(one)["dhash"], _traits(other)["dhash"]) <= NEAR_BITS


def _blur(photos: Sequence[TrainingImage]) -> Iterator[Finding]:
    measured = [photo for photo in photos if "sharpness" in _traits(photo)]
    blurred = [photo for photo in measured if _traits(photo)["sharpness"] < BLURRED_BELOW]
    if blurred:
        yield Finding(
            tone="bad",
            title=f"{_some(len(blurred), len(photos))} probably out of focus",
            advice="Look at them large, and leave out what is not sharp: the LoRA would draw it so.",
            photos=[sorted(blurred, key=lambda photo: float(_traits(photo)["sharpness"]))],
        )
    elif len(measured) == len(photos):
        yield Finding(tone="good", title="All are sharp")


def _unreadable(photos: Sequence[TrainingImage]) -> Iterator[Finding]:
    broken = [photo for photo in photos if UNREADABLE in _traits(photo)]
    if broken:
        yield Finding(
            tone="bad",
            title=f"{_some(len(broken), len(photos))} not readable",
            advice="A training would fail on them: delete them, and add them again.",
            photos=[broken],
        )


_CHECKS: tuple[Callable[[Sequence[TrainingImage]], Iterator[Finding]], ...] = (
    _unreadable,
    _near_duplicates,
    _blur,
    _sizes,
    _shapes,
)


def _captions(photos: Sequence[TrainingImage], trigger_word: str) -> Iterator[Finding]:
    missing = [photo for photo in photos if not (photo.caption or "").strip()]
    if len(missing) == len(photos):
        advice = "That is fine for trainings by the trigger word alone. Others learn more from what each photo shows."
        yield Finding(tone="hint", title="No photo has a caption", advice=advice)
        return
    if missing:
        yield Finding(
            tone="hint",
            title=f"{_some(len(missing), len(photos))} without a caption",
            advice=f"A training with captions calls each of them “a photo of {trigger_word}”.",
            photos=[missing],
        )
    else:
        yield Finding(tone="good", title="Every photo has a caption")
    yield from _without_trigger_word([photo for photo in photos if (photo.caption or "").strip()], trigger_word)


def _without_trigger_word(captioned: Sequence[TrainingImage], trigger_word: str) -> Iterator[Finding]:
    named = re.compile(rf"(?<!\w){re.escape(trigger_word)}(?!\w)")
    lacking = [photo for photo in captioned if not named.search(photo.caption or "")]
    if lacking:
        yield Finding(
            tone="hint",
            title=f"{_some(len(lacking), len(captioned))} captioned without “{trigger_word}”",
            advice="Trainings put the trigger word in front of these; write it where it belongs for a better sentence.",
            photos=[lacking],
        )


def _traits(photo: TrainingImage) -> dict[str, Any]:
    return photo.traits or {}


def _some(count: int, total: int) -> str:
    """Return `3 of 20 are`."""
    return f"{count} of {total} {'is' if count == 1 else 'are'}"
