"""How fast a list of 100 trainings is answered, against DRF's own way: `python -m benchmarks.job_lists`.

The reference is a ModelSerializer and DRF's JSON renderer over the same rows. The two take turns, so that a machine
whose speed drifts tells the same ratio.
"""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable

ROWS = 100
ROUNDS = 40


def _prepare(data_dir: str) -> None:
    os.environ.update(ISENGARD_DATA_DIR=data_dir, ISENGARD_ENV_FILE="/dev/null", ISENGARD_LOG_LEVEL="WARNING")
    os.environ["DJANGO_SETTINGS_MODULE"] = "isengard.settings"
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def _fill() -> None:
    from django.utils import timezone

    from jobs.models import Job
    from training.params import TrainingParams

    now = timezone.now()
    order = {"base_model": "flux-dev", "preset_name": None, "trigger_word": "ann", "character_name": "Ann"}
    row = {"kind": "training", "status": "completed", "started_at": now, "completed_at": now, "order": order}
    config = TrainingParams().model_dump(mode="json")
    Job.objects.bulk_create([Job(id=f"train-{n:012x}", config=config, **row) for n in range(ROWS)])


def _contenders() -> tuple[Callable[[], bytes], Callable[[], bytes]]:
    from rest_framework.renderers import JSONRenderer
    from rest_framework.serializers import ModelSerializer

    from isengard.api.rendering import to_json
    from jobs.models import Job
    from training.answers import as_answers

    class Reference(ModelSerializer):
        class Meta:
            model = Job
            fields = "__all__"

    rows = Job.objects.filter(kind="training")
    return (
        lambda: to_json(as_answers(list(rows[:ROWS]))),
        lambda: JSONRenderer().render(Reference(rows[:ROWS], many=True).data),
    )


def _milliseconds(action: Callable[[], bytes]) -> float:
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1000


def main() -> None:
    data_dir = tempfile.mkdtemp(prefix="isengard-benchmark-")
    try:
        _prepare(data_dir)
        _fill()
        ours, reference = _contenders()
        ours(), reference()
        pairs = [(_milliseconds(ours), _milliseconds(reference)) for _ in range(ROUNDS)]
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)
    ratio = statistics.median(theirs / mine for mine, theirs in pairs)
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"list of {ROWS} trainings: {mine:.1f} ms; ModelSerializer {theirs:.1f} ms; {ratio:.1f} times as fast")


if __name__ == "__main__":
    main()
