"""The page of one LoRA: what it is, how it came to be, whether its file is intact, and who uses it."""

from datetime import datetime
from typing import Any

from django.template.defaultfilters import filesizeformat

from base_models import MODELS
from characters import loras
from characters.admin import related, showing
from characters.files import public_path
from characters.lora_facts import family_of
from characters.models import Lora

# Under this name, among a row's details, stand the moment and the result of the last verification.
VERIFIED = "verified"


def page_of(lora: Lora, user: Any) -> dict[str, Any]:
    source = related.source()
    return {
        "lora": lora,
        "is_current": _is_current(lora),
        "character_link": showing.link(lora.character) if lora.character else "",
        "job_address": source.addresses([lora.job_id]).get(lora.job_id, "") if lora.job_id else "",
        "about": _about(lora),
        "training": _training(lora),
        "params": sorted((_training_of(lora).get("params") or {}).items()),
        "metadata": sorted((lora.details.get("metadata") or {}).items()),
        "verified": _verified(lora),
        "samples": source.last_samples([lora.job_id]).get(lora.job_id, []) if lora.job_id else [],
        "uses": source.uses(lora),
        "generate_address": showing.address_of(
            "generate", lora_id=lora.pk, model_variant=lora.base_model, prompt=lora.trigger_word
        ),
        "gallery_address": showing.address_of("gallery", lora=lora.pk),
        "may_start": user.has_perm("jobs.add_job"),
        "may_promote": user.has_perm("characters.change_character"),
        "may_verify": user.has_perm("characters.change_lora"),
    }


def _is_current(lora: Lora) -> bool:
    current = loras.current_lora(lora.character_id) if lora.character_id else None
    return current is not None and current.pk == lora.pk


def _about(lora: Lora) -> list[tuple[str, Any]]:
    details, model = lora.details, MODELS.get(lora.base_model)
    return showing.facts(
        ("Trigger word", lora.trigger_word),
        ("Made for", model.title if model else lora.base_model or family_of(lora) or "unknown"),
        ("Rank", ", ".join(map(str, details.get("ranks", []))) or details.get("rank")),
        ("Alpha", details.get("alpha")),
        ("Layout", ", ".join(details.get("layouts", []))),
        ("Numbers", ", ".join(details.get("dtypes", []))),
        ("Tensors", _count(details)),
        ("Size", filesizeformat(lora.size_bytes)),
        ("Sent as", details.get("filename")),
        ("Path", public_path(lora.key)),
        ("SHA-256", lora.sha256),
        ("Id", lora.pk),
    )


def _count(details: dict[str, Any]) -> str:
    tensors, modules = details.get("tensor_count"), details.get("module_count")
    if not tensors:
        return ""
    return f"{tensors} of {modules} modules" if modules else str(tensors)


def _training_of(lora: Lora) -> dict[str, Any]:
    return lora.details.get("training") or {}


def _training(lora: Lora) -> list[tuple[str, Any]]:
    told = _training_of(lora)
    if not told:
        return []
    trainer, strategy = told.get("trainer") or {}, str(told.get("caption_strategy") or "")
    return showing.facts(
        ("Steps", lora.details.get("step")),
        ("Photos", told.get("image_count")),
        ("Captions", strategy.replace("_", " ")),
        ("Seed", told.get("seed")),
        ("Attempts", len(told.get("attempts") or [])),
        ("Went on from", _continued(told.get("continues"))),
        ("Took", _took(told)),
        ("Ended", str(told.get("ended_at") or "")[:16].replace("T", " ")),
        ("Trainer", " ".join(filter(None, (trainer.get("name"), trainer.get("version"))))),
        ("Isengard", told.get("isengard_version")),
        ("Dataset hash", told.get("dataset_hash")),
    )


def _continued(point: Any) -> str:
    return f"step {point['step']} of {point['job_id']}" if point else ""


def _took(told: dict[str, Any]) -> str:
    try:
        started, ended = (datetime.fromisoformat(told[name]) for name in ("started_at", "ended_at"))
    except (KeyError, TypeError, ValueError):
        # A row made by hand, or by an earlier version.
        return ""
    minutes = round((ended - started).total_seconds() / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


def _verified(lora: Lora) -> dict[str, Any]:
    kept = lora.details.get(VERIFIED) or {}
    return {"at": datetime.fromisoformat(kept["at"]), "problems": kept["problems"]} if kept else {}
