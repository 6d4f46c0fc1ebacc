"""Pictures that explain themselves: what made an image, written into it and kept beside it. Framework-free."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from base_models import Model
from generation.engines.order import GenerationOrder
from generation.params import VARIANTS, GenerationParams
from generation.png_texts import PngBroken, read_texts, replace_texts
from generation.workflows.workflow import Workflow
from jobs.errors import EngineFailed
from jobs.events import Artifact

PROGRAM = "Isengard"
PARAMETERS = "parameters"
"""The keyword under which galleries and other programs look for how an image was made."""
EXPLANATION = "isengard"
SHORT_SHA256_LENGTH = 10
# How the programs that write this text call them.
SAMPLERS = {"euler": "Euler", "dpmpp_2m": "DPM++ 2M", "res_multistep": "Res Multistep"}
# What would be read as the end of a value.
_SPECIAL = re.compile(r'[,:\n"]')


class NotExplained(ValueError):
    """The picture does not say how it was made; the text says why not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedLora:
    id: str
    name: str
    version: int | None
    sha256: str
    strength: float

    @classmethod
    def of_order(cls, lora: Mapping[str, Any]) -> "UsedLora":
        # Jobs that wait since before an update know less.
        return cls(
            id=lora["id"],
            name=lora.get("title", lora["id"]),
            version=lora.get("version"),
            sha256=lora["sha256"],
            strength=lora["strength"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """`params` are of this image alone: its own seed, its prompts as they were written out."""

    isengard_version: str
    job_id: str
    index: int
    params: GenerationParams
    loras: tuple[UsedLora, ...]
    workflow: Workflow | None = None
    """The operator's own that made it."""

    def as_json(self) -> dict[str, Any]:
        """Return what the API's clients know already, and nothing of the server's."""
        parameters, model = self.params.model_dump(mode="json"), self._model()
        if self.workflow is not None:
            # What it does not take says nothing about the picture.
            parameters = {name: value for name, value in parameters.items() if name in self.workflow.parameters}
        return {
            "isengard_version": self.isengard_version,
            "job_id": self.job_id,
            "index": self.index,
            "prompt": self.params.prompt,
            "negative_prompt": self.params.negative_prompt,
            "seed": self.params.seed,
            "model": {"name": model.name, "title": model.title} if model else None,
            "workflow": {"name": self.workflow.name, "sha256": self.workflow.sha256} if self.workflow else None,
            "loras": [asdict(lora) for lora in self.loras],
            "parameters": parameters,
        }

    def _model(self) -> Model | None:
        name = self.params.model_variant if self.workflow is None else self.workflow.mapping.base_model
        return VARIANTS[name] if name else None

    def as_text(self) -> str:
        """Return the text that the Stable Diffusion web UI introduced and galleries read."""
        negative = self.params.negative_prompt
        lines = [self.params.prompt, *([f"Negative prompt: {negative}"] if negative.strip() else [])]
        known = self._values() if self.workflow is None else self._values_of(self.workflow)
        values = ", ".join(f"{name}: {_quoted(value)}" for name, value in known.items())
        return "\n".join([*lines, values])

    def _values(self) -> dict[str, object]:
        params, made = self.params, self.params.generating
        values: dict[str, object] = {"Steps": params.steps, "Sampler": SAMPLERS.get(made.sampler, made.sampler)}
        values |= {"Schedule type": made.scheduler.capitalize(), **self._guidance(), "Seed": params.seed}
        values |= {"Size": f"{params.width}x{params.height}", "Model": params.model_variant}
        if params.init_image is not None:
            values["Denoising strength"] = params.denoise
        if self.loras:
            values["Lora hashes"] = ", ".join(_hash_of(lora) for lora in self.loras)
        return values | {"Version": f"{PROGRAM} {self.isengard_version}"}

    def _values_of(self, workflow: Workflow) -> dict[str, object]:
        """Return what is known of a picture by a workflow of the operator: what it was told."""
        told = {"Steps": "steps", "CFG scale": "guidance_scale", "Seed": "seed", "Denoising strength": "denoise"}
        parameters, model = self.params.model_dump(), self._model()
        values: dict[str, object] = {
            name: parameters[parameter] for name, parameter in told.items() if parameter in workflow.parameters
        }
        values |= {"Model": model.name} if model else {}
        values |= {"Lora hashes": ", ".join(_hash_of(lora) for lora in self.loras)} if self.loras else {}
        return values | {"Workflow": workflow.name, "Version": f"{PROGRAM} {self.isengard_version}"}

    def _guidance(self) -> dict[str, object]:
        params, made = self.params, self.params.generating
        if made.guidance == "cfg":
            return {"CFG scale": params.guidance_scale}
        scale = made.negative_cfg if params.has_negative_prompt else 1.0
        distilled = {"Distilled CFG Scale": params.guidance_scale} if made.guidance == "embedded" else {}
        return {"CFG scale": scale, **distilled}


def explain(picture: Artifact, order: GenerationOrder, *, loras: tuple[UsedLora, ...], version: str) -> Artifact:
    """Write into the picture's file how it was made, and return it with that among its details. Raises EngineFailed."""
    index = int(str(picture.details["index"]))
    explanation = Explanation(
        isengard_version=version,
        job_id=order.job_id,
        index=index,
        params=order.params_of(index),
        loras=loras,
        workflow=order.workflow,
    )
    content = json.dumps(explanation.as_json(), ensure_ascii=False, separators=(",", ":"))
    try:
        replace_texts(picture.path, {PARAMETERS: explanation.as_text(), EXPLANATION: content})
    except PngBroken as exc:
        raise EngineFailed(f"The image that ComfyUI made cannot be read: {exc}") from exc
    details = {
        **picture.details,
        "prompt": explanation.params.prompt,
        "negative_prompt": explanation.params.negative_prompt,
        "loras": [asdict(lora) for lora in loras],
        "sha256": _sha256(picture.path),
    }
    return replace(picture, details=details)


def read_explanation(path: Path) -> dict[str, Any]:
    """Return what was written into a picture. Raises NotExplained and OSError."""
    try:
        explanation = json.loads(read_texts(path)[EXPLANATION])
    except PngBroken as exc:
        raise NotExplained(f"{path.name}: {exc}") from exc
    except (KeyError, ValueError) as exc:
        raise NotExplained(f"{path.name} does not say how it was made.") from exc
    if not isinstance(explanation, dict):
        raise NotExplained(f"{path.name} does not say how it was made.")
    return explanation


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if _SPECIAL.search(text) else text


def _hash_of(lora: UsedLora) -> str:
    return f"{lora.name}: {lora.sha256[:SHORT_SHA256_LENGTH]}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
