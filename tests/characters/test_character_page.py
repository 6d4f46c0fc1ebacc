"""The page of a character: what it shows, what is done from it, by whom, and that it stays quick."""

import html
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from characters.models import Character, Lora, TrainingImage
from jobs.models import Artifact, Job
from tests.characters.cockpit_rows import address, new_character, new_lora, new_photo, page, person
from tests.characters.making import jpeg
from tests.jobs import admin_rows as jobs

pytestmark = pytest.mark.django_db

AS_SCRIPT = {"Accept": "application/json"}


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    return jobs.use_empty_storage(settings, tmp_path)


@pytest.fixture
def character() -> Character:
    return new_character()


@pytest.fixture
def operator() -> Client:
    return person("operator")


def of(client: Client, character: Character) -> str:
    return page(client, "character_change", character.pk)


def history(row: Any) -> list[str]:
    entries = LogEntry.objects.filter(object_id=str(row.pk)).order_by("pk")
    return [entry.get_change_message() for entry in entries]


def trained(character: Character, version: int, *samples: str) -> Lora:
    order = {"base_model": "flux-dev", "trigger_word": "ada_person"}
    job = jobs.new_job(f"train-{version}", kind="training", status="completed", character_id=character.pk, order=order)
    for step in (100, 200):
        for n in range(len(samples)):
            name = f"step_{step:05d}_{n}.png"
            Artifact.objects.create(job=job, type="sample", name=name, key=f"{job.pk}/{name}", size_bytes=1, step=step)
    return new_lora(character, version, job_id=job.pk)


def test_a_caption_is_saved_in_place_and_the_history_says_who(operator: Client, character: Character) -> None:
    photo = new_photo(character)
    where = address("character_caption", character.pk, photo.pk)
    answer = operator.post(where, {"caption": "a smile\r\nin the sun "}, headers=AS_SCRIPT)
    assert answer.json()["caption"] == "a smile\nin the sun"
    assert TrainingImage.objects.get().caption == "a smile\nin the sun"
    operator.post(where, {"caption": " "}, headers=AS_SCRIPT)
    assert TrainingImage.objects.get().caption is None
    assert history(character) == ["Captioned a.jpg.", "Removed the caption of a.jpg."]
    assert LogEntry.objects.values_list("user__username", flat=True).first() == "operator"


@pytest.mark.parametrize(("caption", "said"), [("x" * 2001, "2000"), ("bell \a", "Control characters")])
def test_a_caption_that_the_api_would_refuse_is_refused_in_words(
    operator: Client, character: Character, caption: str, said: str
) -> None:
    where = address("character_caption", character.pk, new_photo(character, caption="old").pk)
    answer = operator.post(where, {"caption": caption}, headers=AS_SCRIPT)
    assert (answer.status_code, said in answer.json()["detail"]) == (400, True)
    assert TrainingImage.objects.get().caption == "old"
    assert history(character) == []


def test_photos_are_added_and_each_refusal_has_its_reason(operator: Client, character: Character) -> None:
    files = [SimpleUploadedFile("face.jpg", jpeg((640, 640))), SimpleUploadedFile("notes.jpg", b"text")]
    answer = operator.post(address("character_photos", character.pk), {"files": files}, headers=AS_SCRIPT)
    assert answer.json()["uploaded"] == ["face.jpg"]
    assert [each["filename"] for each in answer.json()["rejected"]] == ["notes.jpg"]
    assert history(character) == ["Added face.jpg."]
    assert f"/api/characters/{character.pk}/images/face.jpg?size=" in of(operator, character)


def test_a_form_without_script_leads_back_to_the_page(operator: Client, character: Character) -> None:
    files = [SimpleUploadedFile("face.jpg", jpeg())]
    answer = operator.post(address("character_photos", character.pk), {"files": files}, follow=True)
    assert answer.redirect_chain[-1][0] == address("character_change", character.pk)
    assert "1 photo added." in answer.content.decode()


def test_an_upload_without_the_token_is_refused_before_a_byte_is_kept(character: Character) -> None:
    person("operator")
    strict = Client(enforce_csrf_checks=True)
    strict.login(username="operator", password="speak friend")

    def send(**form: str) -> Any:
        files = [SimpleUploadedFile("face.jpg", jpeg())]
        return strict.post(address("character_photos", character.pk), {"files": files} | form)

    assert send().status_code == 403
    of(strict, character)
    answer = send(csrfmiddlewaretoken=strict.cookies["csrftoken"].value)
    assert (answer.status_code, TrainingImage.objects.count()) == (302, 1)


def test_a_photo_is_deleted_with_its_file(
    operator: Client, character: Character, root: Path, django_capture_on_commit_callbacks: Any
) -> None:
    operator.post(address("character_photos", character.pk), {"files": [SimpleUploadedFile("face.jpg", jpeg())]})
    photo = TrainingImage.objects.get()
    assert (root / photo.key).exists()
    with django_capture_on_commit_callbacks(execute=True):
        answer = operator.post(address("character_photo_delete", character.pk, photo.pk), headers=AS_SCRIPT)
    assert answer.status_code == 200
    assert not (root / photo.key).exists()
    assert history(character)[-1] == "Deleted face.jpg."


def test_promoting_and_rolling_back_are_offered_done_and_recorded(operator: Client, character: Character) -> None:
    older, newer = trained(character, 1), trained(character, 2)
    assert "Roll back to it" in of(operator, character)
    where = address("character_current", character.pk)
    operator.post(where, {"lora": older.pk})
    shown = of(operator, character)
    assert "Promote</button>" in shown
    assert "although newer ones exist" in shown
    assert Character.objects.get().current_lora_id == older.pk
    operator.post(where, {"lora": ""})
    assert Character.objects.get().current_lora_id is None
    assert history(character) == ["v1 is the current LoRA.", "The newest LoRA is the current one again: v2."]
    assert operator.post(where, {"lora": "lora-unknown"}).status_code == 404
    assert newer.version == 2


def test_the_last_samples_of_versions_stand_side_by_side_by_prompt(operator: Client, character: Character) -> None:
    trained(character, 1, "a", "b")
    trained(character, 2, "a")
    table = of(operator, character).split("char-compare-title")[-1]
    assert re.findall(r"artifacts/samples/(step_\d+_\d)\.png\?size", table) == [
        "step_00200_0",
        "step_00200_0",
        "step_00200_1",
    ]
    assert "step_00100" not in table


def test_samples_of_a_prompt_that_was_used_twice_are_all_shown(operator: Client, character: Character) -> None:
    for version in (1, 2):
        job_id = trained(character, version, "a", "b", "c").job_id
        Job.objects.filter(pk=job_id).update(config={"sample_prompts": ["by the sea"], "sample_count": 3})
    table = of(operator, character).split("char-compare-title")[-1]
    assert len(re.findall(r"artifacts/samples/step_00200_[012]\.png\?size", table)) == 6


def test_recent_jobs_are_shown_with_their_state_and_lead_to_their_pages(operator: Client, character: Character) -> None:
    jobs.publish(jobs.new_job("gen-1", character_id=character.pk, config={"prompt": "by the sea"}), "gen-1-0.png")
    trained(character, 1)
    shown = of(operator, character)
    for said in ("by the sea", "gen-1/change/", "train-1/change/", "/api/outputs/gen-1-0.png?size=96"):
        assert said in shown


def test_a_training_and_a_generation_are_one_click_away(operator: Client, character: Character) -> None:
    new_photo(character)
    trained(character, 1)
    for label, told in (("Start a training", ""), ("Generate", "ada_person")):
        link = re.search(rf'href="([^"]+)">{label}</a>', of(operator, character))
        assert link is not None
        answer = operator.get(html.unescape(link[1]))
        assert answer.status_code == 200
        assert told in answer.content.decode()


def test_viewers_see_everything_and_change_nothing(character: Character) -> None:
    viewer, photo, lora = person("viewer"), new_photo(character, caption="a smile"), trained(character, 1)
    shown = of(viewer, character)
    assert "a smile" in shown
    for button in ("<textarea", 'type="file"', "Promote", "Delete a.jpg", "Start a training"):
        assert button not in shown
    assert viewer.get(address("character_dataset", character.pk)).status_code == 200
    for where in (
        address("character_caption", character.pk, photo.pk),
        address("character_photo_delete", character.pk, photo.pk),
        address("character_photos", character.pk),
        address("character_current", character.pk),
        address("lora_verify", lora.pk),
    ):
        assert viewer.post(where).status_code == 403, where
        assert viewer.get(where).status_code == 405, where


def test_what_people_wrote_is_never_markup(operator: Client) -> None:
    hostile = '"><script>alert(1)</script>'
    character = new_character(name=hostile, description=hostile)
    new_photo(character, 'a"><b>.jpg', caption=hostile)
    shown = of(operator, character) + page(operator, "character_dataset", character.pk)
    assert "<script>alert" not in shown
    assert "<b>.jpg" not in shown


def test_editing_a_character_leaves_what_a_training_wrote_meanwhile(operator: Client, character: Character) -> None:
    of(operator, character)
    Character.objects.update(lora_versions_issued=4)
    operator.post(address("character_change", character.pk), {"name": "Ada", "trigger_word": "ada"})
    changed = Character.objects.get()
    assert (changed.name, changed.lora_versions_issued) == ("Ada", 4)


def test_the_list_finds_by_lora_training_and_photos(operator: Client, character: Character) -> None:
    plain = new_character("char-2", name="Grace")
    new_photo(plain)
    old = trained(character, 1)
    Lora.objects.update(created_at=timezone.now() - timedelta(days=20))

    def found(**filters: str) -> set[str]:
        response = operator.get(address("character_changelist"), filters)
        return {row.pk for row in response.context["cl"].result_list}

    assert (found(lora="some"), found(lora="none")) == ({"char-1"}, {"char-2"})
    assert (found(trained="7"), found(trained="30")) == (set(), {"char-1"})
    assert (found(photos="some"), found(photos="none")) == ({"char-2"}, {"char-1"})
    assert found(lora="promoted") == set()
    Character.objects.filter(pk="char-1").update(current_lora=old)
    trained(character, 2)
    assert found(lora="promoted") == {"char-1"}


def test_the_deletion_says_what_goes(operator: Client, character: Character) -> None:
    new_photo(character)
    trained(character, 1)
    assert "with 1 photos and 1 LoRAs" in page(operator, "character_delete", character.pk)


def queries(client: Client, where: str) -> int:
    with CaptureQueriesContext(connection) as made:
        assert client.get(where).status_code == 200
    return len(made)


def test_pages_and_lists_need_no_more_queries_for_more_rows(operator: Client, character: Character) -> None:
    def fill(number: int) -> None:
        for n in range(number, number + 8):
            each = new_character(f"char-{n + 10}")
            new_photo(each)
            new_photo(character, f"{n}.jpg")
            trained(character, n + 1, "a")
            jobs.publish(jobs.new_job(f"gen-{n}", character_id=character.pk), f"gen-{n}-0.png")

    fill(0)
    addresses = [
        address("character_changelist"),
        address("character_change", character.pk),
        address("lora_changelist"),
        address("lora_change", Lora.objects.order_by("pk")[0].pk),
    ]
    for where in addresses:
        queries(operator, where)
    few = [queries(operator, where) for where in addresses]
    fill(8)
    assert [queries(operator, where) for where in addresses] == few
    assert Job.objects.count() == 32
