"""The page on which a training of a character is started."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import path
from django.views.decorators.http import require_http_methods
from rest_framework.exceptions import APIException

from characters import dataset_report
from characters.models import Character
from isengard.cockpit.start import timing
from isengard.cockpit.start.fields import about_field, about_none, changed, read
from isengard.cockpit.start.grouping import Card, Layout, Preset, differing, usual_texts
from isengard.cockpit.start.submitting import (
    STARTS,
    Complaints,
    complaints_of,
    correlation_id_of,
    fresh_key,
    go_to_job,
    key_of,
)
from isengard.cockpit.start.timing import AT_ONCE, Timing
from jobs import schedule
from jobs.idempotency import Submission
from jobs.in_words import label_of
from jobs.params import parse
from training import offers
from training.kind import TrainingKind
from training.params import PRESETS, TrainingParams, resolve
from training.service import TrainingRequest, start_training

MODEL, PRESET = "base_model", "preset_name"
USUAL_PRESET = "balanced"
LAYOUT = Layout(
    first=(
        (
            "How it learns",
            ("steps", "learning_rate", "lora_rank", "resolution", "batch_size", "caption_strategy"),
        ),
    ),
    later=(
        (
            "Samples and checkpoints",
            (
                "sample_every_n_steps",
                "sample_count",
                "checkpoint_every_n_steps",
                "max_checkpoints",
                "sample_prompts",
            ),
        ),
        (
            "For experts",
            ("optimizer", "scheduler", "precision", "gradient_accumulation", "network_alpha", "method"),
        ),
    ),
    apart=frozenset(),
)
THUMBNAILS = 8


@dataclass(frozen=True)
class TrainingForm:
    """A form as it was opened or sent; `asked` are the parameters that are not left to model and preset."""

    model: str
    preset: str
    asked: Mapping[str, Any]
    timing: Timing

    @classmethod
    def opened(cls, query: QueryDict) -> "TrainingForm":
        model, preset = query.get(MODEL, ""), query.get(PRESET, "")
        return cls(
            model=model if model in offers.TRAINABLE else _usual_model(),
            preset=preset if preset in PRESETS else USUAL_PRESET,
            asked={},
            timing=AT_ONCE,
        )

    @classmethod
    def sent(cls, sent: QueryDict) -> "TrainingForm":
        model, preset = sent.get(MODEL, ""), sent.get(PRESET, "")
        declared = offers.info()["parameters"]
        filled = read(declared, LAYOUT.names(declared), sent)
        return cls(model=model, preset=preset, asked=changed(filled, _taken(model, preset)), timing=Timing.sent(sent))

    @cached_property
    def info(self) -> Mapping[str, Any]:
        return offers.info()

    def submit(self, request: HttpRequest, character: Character) -> Submission:
        """Raises what the API would answer."""
        body = {"character_id": character.pk, "config": self.asked, MODEL: self.model, **self.timing.body()}
        wanted = parse(TrainingRequest, body | {PRESET: self.preset or None})
        wanted = schedule.settled(wanted, cancel_after=self.timing.cancel_after)
        key = key_of(request, TrainingKind.name)
        return start_training(wanted, correlation_id=correlation_id_of(request), key=key)

    def told(self, complaints: Complaints) -> dict[str, Any]:
        """Return what the page shows of it."""
        declared, usual = self.info["parameters"], _taken(self.model, self.preset)
        first, later = LAYOUT.groups(declared, values={**usual, **self.asked}, usual=usual, complaints=complaints)
        names = [*declared, MODEL, PRESET, *timing.PATHS]
        return {
            "cards": self._cards(),
            "model_field": MODEL,
            "model_errors": about_field(MODEL, complaints),
            "presets": self._presets(),
            "preset_errors": about_field(PRESET, complaints),
            "groups": first,
            "more_groups": later,
            "timing": self.timing.told(complaints),
            "complaints": complaints,
            "general_errors": about_none(names, complaints),
            "facts": self._facts(),
        }

    def _cards(self) -> list[Card]:
        return [_card(name, about, is_chosen=name == self.model) for name, about in self.info["base_models"].items()]

    def _presets(self) -> list[Preset]:
        return [
            Preset(
                name=name,
                title=name.capitalize(),
                text=", ".join(f"{label_of(each)} {value}" for each, value in sets.items()) or "the model's defaults",
                is_usable=True,
                is_chosen=name == self.preset,
            )
            for name, sets in PRESETS.items()
        ]

    def _facts(self) -> dict[str, Any]:
        """Return what the browser fills in, and says, when another model or preset is chosen."""
        usual = usual_texts(self.info["parameters"])
        return {
            "usual": usual,
            "fills": {
                model: {preset: differing(_taken(model, preset), usual) for preset in PRESETS}
                for model in offers.TRAINABLE
            },
            "follows": {name: _follows(about) for name, about in self.info["base_models"].items()},
            "notes": {name: _notes(about) for name, about in self.info["base_models"].items()},
        }


def _usual_model() -> str:
    return str(TrainingRequest.model_fields[MODEL].default)


def _taken(model: str, preset: str) -> dict[str, Any]:
    """Return what is taken where nothing is asked for; nothing for a model or a preset that is unknown."""
    if model not in offers.TRAINABLE or preset not in ("", *PRESETS):
        return {}
    defaults = offers.TRAINABLE[model].defaults
    return resolve({}, preset or None, model_defaults=defaults).model_dump(mode="json")


def _card(name: str, about: Mapping[str, Any], *, is_chosen: bool) -> Card:
    needs = f"needs about {about['memory_gb']} GB of GPU memory"
    gate = "Gated: accept its licence on its page and set HF_TOKEN." if about["gated"] else ""
    return Card(
        name=name,
        title=about["title"],
        facts=[needs, about["licence"].split(";")[0].rstrip(".")],
        state="here" if about["is_local"] else "downloaded when first used",
        is_ready=about["is_local"] or not about["gated"],
        note="" if about["is_local"] else gate,
        is_chosen=is_chosen,
    )


def _follows(about: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters whose default is the value of another one."""
    return {name: default for name, default in about["defaults"].items() if default in TrainingParams.model_fields}


def _notes(about: Mapping[str, Any]) -> dict[str, str]:
    """Return, by parameter, what is to be said of it beside this model."""
    unusable = {name: f"Not with this model: {', '.join(values)}." for name, values in about["unusable_values"].items()}
    return {name: f"Has no effect: {reason}" for name, reason in about["ignored_parameters"].items()} | unusable


@require_http_methods(["GET", "HEAD", "POST"])
def train(request: HttpRequest, character_id: str) -> HttpResponse:
    if not request.user.has_perm(STARTS):
        raise PermissionDenied
    character = get_object_or_404(Character, pk=unquote(character_id))
    complaints: Complaints = {}
    form = TrainingForm.sent(request.POST) if request.method == "POST" else TrainingForm.opened(request.GET)
    if request.method == "POST":
        try:
            submission = form.submit(request, character)
        except APIException as exc:
            complaints = complaints_of(exc)
        else:
            return go_to_job(request, submission, f"Training of {character} started from its page.")
    return render(request, "cockpit/start/training.html", _page(request, character, form.told(complaints)))


def _page(request: HttpRequest, character: Character, told: Mapping[str, Any]) -> dict[str, Any]:
    dataset = dataset_report.report(character)
    return {
        **admin.site.each_context(request),
        "title": f"Train {character.name}",
        "character": character,
        "dataset": dataset,
        "warnings": [finding for finding in dataset.findings if finding.tone != "good"],
        "photos": character.images.order_by("pk")[:THUMBNAILS],
        "request_key": fresh_key(),
        **told,
    }


urlpatterns = [
    path(
        "characters/character/<str:character_id>/train/",
        admin.site.admin_view(train),
        name="characters_character_train",
    ),
]
