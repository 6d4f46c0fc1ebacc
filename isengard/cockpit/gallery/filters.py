"""What the form above the pictures narrows them to."""

from collections.abc import Callable, Mapping
from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.utils.http import urlencode

from characters.models import Character, Lora
from generation.listing import uses_lora
from generation.params import VARIANTS
from jobs.models import Artifact

MAX_TEXT_LENGTH = 200
# A word that is in the names of more LoRAs than this finds the pictures of the newest of them.
MAX_LORAS_MEANT = 20
# A condition that nothing meets.
NOTHING = Q(pk__in=())
ANY_MODEL = ("", "All models")


def _text(label: str, hint: str, suggestions: str = "") -> forms.CharField:
    attributes = {"placeholder": hint, "autocomplete": "off"} | ({"list": suggestions} if suggestions else {})
    widget = forms.TextInput(attrs=attributes)
    return forms.CharField(label=label, required=False, max_length=MAX_TEXT_LENGTH, widget=widget)


def _day(label: str) -> forms.DateField:
    return forms.DateField(label=label, required=False, widget=forms.DateInput(attrs={"type": "date"}))


class GalleryFilters(forms.Form):
    """What is wrong in one field is told there, and does not narrow."""

    q = _text("Prompt", "words in the prompt")
    character = _text("Character", "name or id", "gallery-characters")
    lora = _text("LoRA", "name or id", "gallery-loras")
    model = forms.ChoiceField(
        label="Model", required=False, choices=[ANY_MODEL, *((name, model.title) for name, model in VARIANTS.items())]
    )
    job = _text("Job", "gen-…")
    since = _day("From")
    until = _day("Until")

    def narrowed(self, pictures: QuerySet[Artifact]) -> QuerySet[Artifact]:
        """Return those of `pictures` that are asked for."""
        return pictures.filter(*(_CONDITIONS[name](value) for name, value in self._asked().items()))

    def query(self, **more: str) -> str:
        """Return what is asked for as the end of an address, "" for nothing, with `more` behind it."""
        told = {name: str(value) for name, value in self._asked().items()} | more
        return f"?{urlencode(told)}" if told else ""

    @property
    def is_narrowing(self) -> bool:
        return bool(self._asked())

    def _asked(self) -> Mapping[str, Any]:
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}


def _of_prompt(text: str) -> Q:
    return Q(details__prompt__icontains=text) | Q(job__config__prompt__icontains=text)


def _of_character(text: str) -> Q:
    named = Character.objects.filter(name__icontains=text).values("pk")
    return Q(job__character_id=text) | Q(job__character_id__in=named)


def _of_lora(text: str) -> Q:
    """Jobs keep the ids of their LoRAs, so one that was deleted since is found by its id alone."""
    named = Lora.objects.filter(name__icontains=text).order_by("-created_at").values_list("pk", flat=True)
    condition = NOTHING
    for lora_id in {text, *named[:MAX_LORAS_MEANT]}:
        condition |= uses_lora(lora_id, loras="job__order__loras")
    return condition


_CONDITIONS: Mapping[str, Callable[[Any], Q]] = {
    "q": _of_prompt,
    "character": _of_character,
    "lora": _of_lora,
    "model": lambda name: Q(job__config__model_variant=name),
    "job": lambda job_id: Q(job_id=job_id),
    "since": lambda day: Q(created_at__date__gte=day),
    "until": lambda day: Q(created_at__date__lte=day),
}
