"""The pictures of a training at its current step."""

from .console import Bar
from .errors import OutOfMemoryError
from .prompts import Picture, plan_pictures
from .samples import save_sample
from .training_run import TrainingRun

STEPS_PER_PICTURE = 2.0


def sample(run: TrainingRun) -> None:
    """Draw every prompt. Raise ValueError for a flag that cannot be read, JobStopped where the row asks for it."""
    run.row.stop_if_asked()
    pictures = plan_pictures(run.config.sample, run.config.trigger_word)
    run.row.set_status("running", f"Generating images - 0/{len(pictures)}")
    if "oom-sample" in run.conditions.faults:
        raise OutOfMemoryError
    has_assistant = run.config.model.assistant_lora_path
    if has_assistant:
        print("Unloading assistant lora")
    if pictures:
        _draw_all(run, pictures)
    if has_assistant:
        print("Loading assistant lora")
    print()
    run.row.stop_if_asked()
    run.row.set_status("running", "Training")


def _draw_all(run: TrainingRun, pictures: list[Picture]) -> None:
    bar = Bar("Generating Images", len(pictures), is_nested=run.bar is not None, is_kept=False)
    for index, picture in enumerate(pictures):
        run.conditions.pace.wait(STEPS_PER_PICTURE)
        folder = run.output.root / "samples"
        save_sample(folder, picture, step=run.step, index=index, suffix=run.config.sample.format)
        bar.advance_to(index + 1)
        run.row.stop_if_asked()
        run.row.set_status("running", f"Generating images - {index + 1}/{len(pictures)}")
    bar.close()
