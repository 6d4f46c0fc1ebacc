"""What a training leaves: a LoRA whose file and row both tell where it comes from.

The job runs as a worker would run it, with the stand-in trainer as a process of its own.
"""

import hashlib
import json
import re
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
import safetensors
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from characters.lora_serializers import LoraFullAnswer, LoraTrainingAnswer
from characters.models import Lora, TrainingImage
from jobs import facts, kinds, log, queue, runner, transitions
from jobs.files import workspace
from jobs.models import Job, Status
from jobs.transitions import Claim
from tests.characters.making import jpeg, new_character, upload
from tests.jobs.fakes import make_slot, this_process
from tests.training.aitoolkit_fixtures import lora_bytes
from training import publication

pytestmark = pytest.mark.django_db(transaction=True)

CONFIG = {
    "steps": 100,
    "lora_rank": 4,
    "sample_count": 1,
    "resolution": 512,
    "caption_strategy": "natural",
    "network_alpha": 8,
}


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.RATE_LIMITS = "off"
    settings.MEDIA_ROOT = str(tmp_path / "stored")
    settings.DATA_DIR = tmp_path
    settings.TRAINER_ENVIRONMENT = {**settings.TRAINER_ENVIRONMENT, "ISENGARD_SIMULATOR_STEP_SECONDS": "0"}
    return tmp_path


@pytest.fixture
def character_id() -> str:
    made = str(new_character()["id"])
    upload(made, ("one.jpg", jpeg()), ("two.jpg", jpeg(colour=(20, 30, 200))))
    return made


def submitted(character_id: str, **config: Any) -> str:
    body = {"character_id": character_id, "config": {**CONFIG, **config}}
    answer = APIClient().post("/api/training", body, format="json")
    assert answer.status_code == 201, answer.content
    return str(answer.json()["id"])


def claimed() -> Claim:
    slot = make_slot(kinds.get("training"), name="training-slot")
    claim = queue.claim_next("training", slot.name, this_process())
    slot.delete()
    assert claim is not None
    return claim


def run(job_id: str) -> Job:
    runner.execute(claimed())
    return Job.objects.get(pk=job_id)


def trained(character_id: str) -> Lora:
    job = run(submitted(character_id))
    assert job.status == Status.COMPLETED, job.error_message
    return Lora.objects.get(job_id=job.pk)


def downloaded(lora: Lora) -> bytes:
    answer = APIClient().get(f"/api/jobs/{lora.job_id}/artifacts/model")
    assert answer.status_code == 200
    return bytes(answer.getvalue())


def metadata_in(content: bytes) -> dict[str, str]:
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return dict(header["__metadata__"])


def messages(job_id: str, event: str) -> list[str]:
    lines = (json.loads(line) for line in log.lines(Job.objects.get(pk=job_id)))
    return [line["message"] for line in lines if line["event"] == event]


@pytest.fixture
def as_trained(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The files as the trainer wrote them, taken just before their publication."""
    taken: list[bytes] = []
    inspect = publication.inspect

    def take(content: Any) -> Any:
        taken.append(content.read())
        return inspect(content)

    monkeypatch.setattr(publication, "inspect", take)
    return taken


def test_the_file_and_the_api_tell_the_same_origin(character_id: str, as_trained: list[bytes]) -> None:
    lora = trained(character_id)
    content = downloaded(lora)
    metadata, shown = metadata_in(content), APIClient().get(f"/api/loras/{lora.pk}").json()
    training = shown["training"]
    assert shown.keys() == LoraFullAnswer().fields.keys()
    assert training.keys() == LoraTrainingAnswer().fields.keys()
    assert shown["sha256"] == hashlib.sha256(content).hexdigest()
    assert shown["size_bytes"] == len(content)
    assert (shown["job_id"], shown["character_id"], shown["version"]) == (lora.job_id, character_id, 1)
    assert (shown["base_model"], shown["family"], shown["trigger_word"]) == ("flux-dev", "flux", "ada_person")
    # FLUX takes no alpha but the rank, whatever was asked for.
    assert (shown["ranks"], shown["alpha"], shown["steps"], shown["tensor_count"]) == ([4], 4, 100, 52)
    assert shown["tensor_count"] == len(safetensors.deserialize(content))
    assert {name: metadata[f"isengard.{name}"] for name in ("job_id", "base_model", "trigger_word")} == {
        "job_id": shown["job_id"],
        "base_model": shown["base_model"],
        "trigger_word": shown["trigger_word"],
    }
    assert metadata["isengard.dataset_hash"] == training["dataset_hash"]
    assert json.loads(metadata["isengard.parameters"]) == training["params"] == Job.objects.get().config
    assert json.loads(metadata["isengard.seed"]) == training["seed"] == int(metadata["ss_seed"])
    assert json.loads(metadata["isengard.attempts"]) == training["attempts"]
    assert json.loads(metadata["isengard.continues"]) is training["continues"] is None
    assert training["attempts"] == [{"attempt": 1, "start_step": 0, "dataset_hash": training["dataset_hash"]}]
    assert {name: metadata[f"isengard.trainer_{name}"] for name in ("name", "version", "commit")} == training["trainer"]
    assert training["trainer"]["version"].endswith("+simulator")
    assert (metadata["isengard.started_at"], metadata["isengard.ended_at"]) == (
        training["started_at"],
        training["ended_at"],
    )
    assert metadata["isengard.version"] == training["isengard_version"] == django_settings.VERSION


def test_the_file_speaks_the_words_of_other_programs(character_id: str, as_trained: list[bytes]) -> None:
    content = downloaded(trained(character_id))
    metadata = metadata_in(content)
    body = content[8 + int.from_bytes(content[:8], "little") :]
    expected = {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "flux-1-dev/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.title": "Ada v1",
        "modelspec.trigger_phrase": "ada_person",
        "modelspec.resolution": "512x512",
        "modelspec.license": "FLUX.1 [dev] Non-Commercial License",
        "modelspec.hash_sha256": f"0x{hashlib.sha256(body).hexdigest()}",
        "modelspec.date": metadata["isengard.ended_at"],
        "ss_network_dim": "4",
        "ss_network_alpha": "4",
        "ss_num_train_images": "2",
        "ss_steps": "100",
        "ss_learning_rate": "0.0001",
    }
    assert {name: metadata[name] for name in expected} == expected
    # What the trainer wrote itself is all there, its names for the same things included.
    assert metadata_in(as_trained[0]).items() <= metadata.items()
    assert json.loads(metadata["training_info"])["step"] == 100
    assert dict(safetensors.deserialize(content)) == dict(safetensors.deserialize(as_trained[0]))


def test_the_file_is_for_the_servers_group_to_read_and_names_no_place(character_id: str, root: Path) -> None:
    lora = trained(character_id)
    stored = root / "stored" / lora.key
    assert oct(stored.stat().st_mode & 0o777) == "0o640"
    assert [path.name for path in stored.parent.iterdir()] == ["v1.safetensors"]
    assert not workspace(lora.job_id).exists()
    told = json.dumps(metadata_in(stored.read_bytes()))
    places = (str(root), str(django_settings.AI_TOOLKIT_DIR), django_settings.HOSTNAME, str(Path.home()))
    assert [place for place in places if place in told and place != "/"] == []
    assert not re.search(r'"/[a-z]+/', told)


def test_the_dataset_is_recorded_with_the_images_it_was_made_of(character_id: str) -> None:
    lora = trained(character_id)
    training = APIClient().get(f"/api/loras/{lora.pk}").json()["training"]
    assert training["image_ids"] == sorted(TrainingImage.objects.values_list("pk", flat=True))
    assert (training["image_count"], training["caption_strategy"]) == (2, "natural")
    lines = sorted(
        f"{image.sha256} {hashlib.sha256(b'a photo of ada_person').hexdigest()}\n"
        for image in TrainingImage.objects.all()
    )
    assert training["dataset_hash"] == hashlib.sha256("".join(lines).encode()).hexdigest()
    (said, *_) = messages(lora.job_id, "training.dataset")
    assert said == f"Training on 2 images, dataset {training['dataset_hash'][:12]}."


def given_back(job_id: str, change: Callable[[], Any]) -> Job:
    """Let an attempt get as far as the trainer's start, change something, and let the next one finish."""
    claim = claimed()
    job = Job.objects.get(pk=job_id)
    workspace(job_id).mkdir(parents=True)
    engine = kinds.get("training").run(job, claim, workspace(job_id), runner.Run(claim, job).controls)
    told = next(event for event in engine if type(event).__name__ == "Facts")
    facts.record(claim, job, told)
    engine.close()
    assert transitions.give_back(claim.live(), message="again", crashes=0, run_after=None)
    change()
    return run(job_id)


def test_images_that_change_between_two_attempts_change_nothing(character_id: str) -> None:
    job_id = submitted(character_id)
    ids = sorted(TrainingImage.objects.values_list("pk", flat=True))

    def edit() -> None:
        TrainingImage.objects.update(caption="something else")
        api = APIClient()
        for name in TrainingImage.objects.values_list("name", flat=True):
            assert api.delete(f"/api/characters/{character_id}/images/{name}").status_code in (200, 204)

    job = given_back(job_id, edit)
    assert job.status == Status.COMPLETED, job.error_message
    assert TrainingImage.objects.count() == 0
    details = Lora.objects.get().details["training"]
    assert details["image_ids"] == ids
    first, second = details["attempts"]
    assert (first["attempt"], second["attempt"]) == (1, 2)
    assert first["dataset_hash"] == second["dataset_hash"] == details["dataset_hash"]


def test_an_attempt_on_another_machine_says_that_the_images_are_others(character_id: str, root: Path) -> None:
    job_id = submitted(character_id)

    def move_and_edit() -> None:
        workspace(job_id).rename(root / "another machine")
        TrainingImage.objects.update(caption="something else")

    job = given_back(job_id, move_and_edit)
    assert job.status == Status.COMPLETED, job.error_message
    assert any("not those of the attempt before" in said for said in messages(job_id, "training.dataset"))
    first, second = Lora.objects.get().details["training"]["attempts"]
    assert first["dataset_hash"] != second["dataset_hash"]


def test_an_attempt_that_went_on_from_a_checkpoint_says_so(character_id: str, settings: Any) -> None:
    settings.TRAINER_ENVIRONMENT = {**settings.TRAINER_ENVIRONMENT, "ISENGARD_SIMULATOR_FAULT": "crash-once@150"}
    job_id = submitted(character_id, steps=200, checkpoint_every_n_steps=100)
    assert run(job_id).status == Status.QUEUED
    Job.objects.update(run_after=None)
    job = run(job_id)
    assert job.status == Status.COMPLETED, job.error_message
    attempts = Lora.objects.get().details["training"]["attempts"]
    assert [(told["attempt"], told["start_step"]) for told in attempts] == [(1, 0), (2, 100)]
    assert len({told["dataset_hash"] for told in attempts}) == 1


@pytest.mark.parametrize("fault", ["wrong-step", "no-final"])
def test_a_training_whose_file_is_not_right_publishes_nothing(
    fault: str, character_id: str, settings: Any, root: Path
) -> None:
    settings.TRAINER_ENVIRONMENT = {**settings.TRAINER_ENVIRONMENT, "ISENGARD_SIMULATOR_FAULT": fault}
    job = run(submitted(character_id))
    assert job.status == Status.FAILED
    assert not Lora.objects.exists()
    assert not list((root / "stored").glob("loras/**/*.safetensors"))


def verified() -> str:
    output = StringIO()
    call_command("loras", "verify", stdout=output)
    return output.getvalue()


def problems() -> list[str]:
    output = StringIO()
    with pytest.raises(CommandError, match="1 of 1 LoRAs differ"):
        call_command("loras", "verify", stdout=output)
    lora = Lora.objects.get()
    return [line.removeprefix(f"{lora.pk}  {lora.key}  ") for line in output.getvalue().splitlines()]


def replaced(lora: Lora, root: Path, content: bytes) -> None:
    """Put other bytes under the LoRA, and into its row what it says of its bytes."""
    (root / "stored" / lora.key).write_bytes(content)
    Lora.objects.update(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def test_a_trained_lora_passes_verification_also_after_a_cleanup(character_id: str) -> None:
    lora = trained(character_id)
    assert verified() == f"{lora.pk}  {lora.key}  ok\n"
    call_command("cleanup", "--older-than-minutes", "5", stdout=StringIO())
    assert verified() == f"{lora.pk}  {lora.key}  ok\n"


def test_verification_finds_another_trainings_file_and_other_tensors(character_id: str, root: Path) -> None:
    lora = trained(character_id)
    Lora.objects.update(job_id="train-other")
    assert problems() == [f"The file's metadata isengard.job_id is '{lora.job_id}' instead of 'train-other'."]
    changed = {**lora.details["training"], "dataset_hash": "other"}
    Lora.objects.update(job_id=lora.job_id, details=lora.details | {"training": changed})
    (problem,) = problems()
    assert problem.startswith("The file's metadata isengard.dataset_hash is ")
    Lora.objects.update(details=lora.details)
    content = bytearray((root / "stored" / lora.key).read_bytes())
    content[-4] ^= 1
    replaced(lora, root, bytes(content))
    (problem,) = problems()
    assert problem.startswith("The file's metadata modelspec.hash_sha256 is '0x")


def test_verification_finds_weights_of_another_rank_that_learned_nothing(root: Path) -> None:
    lora = Lora.objects.create(
        name="by hand", key="loras/x.safetensors", size_bytes=0, base_model="flux-dev", job_id="train-1"
    )
    Lora.objects.update(details={"rank": 16, "step": 1000})
    (root / "stored" / "loras").mkdir(parents=True)
    replaced(lora, root, lora_bytes(rank=8, number=b"\0\0"))
    wrong_rank, nothing_learned = problems()
    assert wrong_rank.endswith("is not of rank 16: its shape is [8, 32].")
    assert nothing_learned == "All its lora_B weights are zero: nothing was learned."


def test_an_own_lora_that_was_downloaded_and_uploaded_is_recognised(character_id: str) -> None:
    lora = trained(character_id)
    sent = {"file": BytesIO(downloaded(lora)), "name": "Mine"}
    sent["file"].name = "v1.safetensors"
    answer = APIClient().post("/api/loras/upload", sent, format="multipart")
    assert answer.status_code == 201, answer.content
    shown = APIClient().get(f"/api/loras/{answer.json()['id']}").json()
    assert (shown["base_model"], shown["family"], shown["trigger_word"]) == ("flux-dev", "flux", "ada_person")
    assert shown["metadata"]["isengard.job_id"] == lora.job_id
    assert (shown["training"], shown["character_id"], shown["version"]) == (None, None, None)
