"""A training order as ai-toolkit's job file.

ai-toolkit checks nothing: an unknown key is ignored and a wrong type fails hours later, so everything here is typed by
TrainingParams before and pinned by tests.
"""

import json

from base_models import MODELS, Training
from jobs.errors import EngineFailed
from jobs.events import Log
from training.engines.aitoolkit.local_copies import find_adapter, find_model
from training.engines.aitoolkit.prompts import plain_prompt, plain_trigger, requested_prompts, sample_prompts
from training.engines.aitoolkit.workspace import Workspace
from training.engines.order import Installation, TrainingOrder
from training.params import TrainingParams
from training.suitability import ignored, unusable

SAMPLE_FORMAT = "png"
_SEED = 42
_PERFORMANCE_LOG_STEPS = 10
_DEFAULT_LEARNING_RATE: float = TrainingParams.model_fields["learning_rate"].default
# LinearLR climbs from a third of the rate to all of it unless it is told to fall.
_SCHEDULER_PARAMS = {"linear": {"start_factor": 1.0, "end_factor": 0.0}}


def build_job(
    order: TrainingOrder, workspace: Workspace, *, installation: Installation | None = None
) -> dict[str, object]:
    """Raises EngineFailed for what cannot work, before it costs any GPU time."""
    model = _base_model(order.base_model)
    for name, reason in unusable(order.params, model).items():
        raise EngineFailed(f"The training cannot run with this {name}: {reason}", cause="unusable_parameter")
    process = _process(order, workspace) | {"model": _model(order.base_model, model, installation)}
    return {
        "job": "extension",
        "config": {"name": workspace.name, "process": [process]},
        "meta": {"name": workspace.name, "version": "1.0"},
    }


def render_job(job: dict[str, object]) -> str:
    # ai-toolkit replaces ${VARIABLE} in the file's text before it parses it. JSON's own escape keeps the dollar out of
    # that text and gives it back when the file is parsed.
    return json.dumps(job, indent=2).replace("$", "\\u0024")


def explain_choices(order: TrainingOrder) -> list[Log]:
    """Say what the engine does differently from what was asked, so that nothing is dropped silently."""
    return [Log(message=text, event="training.parameter") for text in _differences(order)]


def _differences(order: TrainingOrder) -> list[str]:
    params = order.params
    asked = requested_prompts(params)
    texts = []
    if params.optimizer == "prodigy":
        texts.append(f"Prodigy finds its own rate: learning_rate {params.learning_rate:g} became {_rate(params):g}.")
    for name, reason in ignored(params, _base_model(order.base_model)).items():
        texts.append(f"{name} {getattr(params, name)} has no effect: {reason}")
    if params.scheduler == "cosine_with_restarts":
        texts.append("cosine_with_restarts does not restart in ai-toolkit: it has the effect of cosine.")
    if "--" in order.trigger_word:
        texts.append("The trigger word has a dash instead of its -- in sample prompts, where -- is syntax.")
    if len(asked) > params.sample_count:
        texts.append(f"Only the first {params.sample_count} of {len(asked)} sample prompts are used: see sample_count.")
    texts += [f"The sample prompt {text!r} was changed: -- and brackets are syntax." for text in _changed(order, asked)]
    return texts


def _changed(order: TrainingOrder, asked: list[str]) -> list[str]:
    trigger = plain_trigger(order.trigger_word)
    return [text for text in asked if plain_prompt(text, trigger) != text.replace("[trigger]", trigger)]


def _process(order: TrainingOrder, workspace: Workspace) -> dict[str, object]:
    params, model = order.params, _base_model(order.base_model)
    trigger = plain_trigger(order.trigger_word)
    return {
        "type": "diffusion_trainer",
        "training_folder": str(workspace.training_folder),
        "sqlite_db_path": str(workspace.job_row),
        "trigger_word": trigger,
        "training_seed": _SEED,
        "performance_log_every": _PERFORMANCE_LOG_STEPS,
        "logging": {"log_every": 1, "use_ui_logger": True},
        "network": {"type": params.method, "linear": params.lora_rank, "linear_alpha": params.network_alpha},
        "save": _save(params),
        "datasets": [_dataset(params, workspace)],
        "train": _train(params, model),
        "sample": _sample(params, model, trigger),
    }


def _base_model(name: str) -> Training:
    model = MODELS.get(name)
    if model is None or model.training is None:
        trainable = sorted(known.name for known in MODELS.values() if known.training is not None)
        raise EngineFailed(
            f"The base model {name!r} cannot be trained; choose one of {', '.join(trainable)}.", cause="model_not_found"
        )
    return model.training


def _save(params: TrainingParams) -> dict[str, object]:
    return {
        "dtype": params.precision,
        "save_every": params.checkpoint_every_n_steps,
        "max_step_saves_to_keep": params.max_checkpoints,
        # Without a token in the environment ai-toolkit would ask for one on the terminal, and wait.
        "push_to_hub": False,
    }


def _dataset(params: TrainingParams, workspace: Workspace) -> dict[str, object]:
    return {
        "folder_path": str(workspace.dataset),
        "caption_ext": "txt",
        "caption_dropout_rate": 0.05,
        # The tags strategy shuffles in the caption files: ai-toolkit's own shuffle moves the trigger word too.
        "shuffle_tokens": False,
        "cache_latents_to_disk": True,
        "resolution": [params.resolution],
    }


def _train(params: TrainingParams, model: Training) -> dict[str, object]:
    return {
        "batch_size": params.batch_size,
        "steps": params.steps,
        # Not gradient_accumulation_steps: there a step would be one batch, and together they are refused.
        "gradient_accumulation": params.gradient_accumulation,
        "train_unet": True,
        "train_text_encoder": False,
        "gradient_checkpointing": True,
        "noise_scheduler": model.noise_scheduler,
        "optimizer": params.optimizer,
        "lr": _rate(params),
        "lr_scheduler": params.scheduler,
        "lr_scheduler_params": dict(_SCHEDULER_PARAMS.get(params.scheduler, {})),
        "dtype": params.precision,
        **model.train_options,
    }


def _rate(params: TrainingParams) -> float:
    # Prodigy multiplies the rate it finds by this one, and 0.0001 of it would train nothing.
    if params.optimizer == "prodigy":
        return round(params.learning_rate / _DEFAULT_LEARNING_RATE, 6)
    return float(params.learning_rate)


def _model(name: str, model: Training, installation: Installation | None) -> dict[str, object]:
    models = installation.models if installation is not None else None
    described = {
        "name_or_path": find_model(models, name, model),
        "arch": model.arch,
        "quantize": model.is_quantized,
        "quantize_te": model.is_quantized,
        **model.model_options,
    }
    if model.assistant_adapter is not None:
        described["assistant_lora_path"] = find_adapter(models, model.assistant_adapter)
        if installation is not None and installation.is_offline:
            # The usual way to fuse the adapter in asks the hub for a file list even when the file is here; this other
            # way, made for small cards, does not. It costs minutes at the start, so it is taken only where it must be.
            described["low_vram"] = True
    return described


def _sample(params: TrainingParams, model: Training, trigger: str) -> dict[str, object]:
    return {
        "sampler": model.noise_scheduler,
        "sample_every": params.sample_every_n_steps,
        "width": params.resolution,
        "height": params.resolution,
        "prompts": sample_prompts(params, trigger),
        "neg": "",
        "seed": _SEED,
        "walk_seed": True,
        "guidance_scale": model.sample_guidance,
        "sample_steps": model.sample_steps,
        "format": SAMPLE_FORMAT,
    }
