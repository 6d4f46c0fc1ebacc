"""The gallery of generated pictures, and making one of them again."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import ADDITION, LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from characters.models import Lora
from generation import offers
from generation.params import GenerationParams
from isengard.cockpit.gallery import paging
from jobs.models import Artifact, Job, Status
from tests.isengard.cockpit_people import logged_in
from tests.jobs import admin_rows as rows

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _alone(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows.use_empty_storage(settings, tmp_path)
    # No server answers; before one did, what clients count on is taken.
    settings.COMFYUI_URLS = ["http://127.0.0.1:9"]
    monkeypatch.setattr(offers, "_asked", None)


def picture_of(job_id: str, *, prompt: str = "a castle", days: int = 0, order: Any = None, **config: Any) -> Artifact:
    """Record a generation of one picture, made `days` after the first of March."""
    params = GenerationParams(prompt=prompt, seed=5, **config).model_dump(mode="json")
    made = {"count": 1, "loras": [], "prompts": [{"prompt": prompt, "negative_prompt": ""}], **(order or {})}
    job = rows.new_job(job_id, status=Status.COMPLETED, config=params, order=made)
    details = {"index": 0, "seed": 5, "prompt": prompt, "width": 1024, "height": 768, "seconds": 12.5}
    return Artifact.objects.create(
        job=job,
        type="output",
        name=f"{job_id}.png",
        key=f"outputs/{job_id}.png",
        size_bytes=2_000_000,
        details=details,
        created_at=NOON + timedelta(days=days),
    )


def shown_in(client: Client, query: str = "") -> list[str]:
    page = client.get(reverse("admin:gallery") + query)
    assert page.status_code == 200
    return re.findall(r'class="gallery-tile cp-plain" href="/admin/gallery/([^/]+)\.png/', page.content.decode())


def text_of(client: Client, address: str) -> str:
    return client.get(address).content.decode()


def test_an_empty_gallery_says_what_to_do_next(admin_client: Client) -> None:
    assert reverse("admin:generate") in text_of(admin_client, reverse("admin:gallery"))
    assert "somebody generates one" in text_of(logged_in("viewer"), reverse("admin:gallery"))


def test_pictures_are_shown_as_thumbnails_the_newest_first(admin_client: Client) -> None:
    for number in range(3):
        picture_of(f"gen-{number}", days=number)
    assert shown_in(admin_client) == ["gen-2", "gen-1", "gen-0"]
    page = text_of(admin_client, reverse("admin:gallery"))
    assert 'src="/api/outputs/gen-2.png?size=320"' in page
    assert 'src="/api/outputs/gen-2.png"' not in page
    assert "FLUX.1 dev · 1024 × 768" in page


def test_pictures_are_found_by_what_made_them(admin_client: Client) -> None:
    ada = rows.new_character()
    lora = Lora.objects.create(
        character=ada, version=1, name="Ada v1", key="loras/a", size_bytes=1, sha256=rows.SHA, id="lora-1"
    )
    used = [{"id": lora.pk, "sha256": rows.SHA, "strength": 1.0}]
    picture = picture_of("gen-1", prompt="Ada by the SEA", order={"loras": used})
    Job.objects.filter(pk=picture.job_id).update(character_id=ada.pk)
    picture_of("gen-2", days=1, model_variant="sdxl", order={"loras": [{"id": "lora-11"}]})
    for query in ("q=the sea", "character=lovelace", f"character={ada.pk}", "lora=ada", "lora=lora-1", "job=gen-1"):
        assert shown_in(admin_client, f"?{query}") == ["gen-1"], query
    assert shown_in(admin_client, "?model=sdxl") == ["gen-2"]
    for name_of_field in ("id", "sha256", "strength"):
        assert shown_in(admin_client, f"?lora={name_of_field}") == []
    assert shown_in(admin_client, "?since=2026-03-02") == ["gen-2"]
    assert shown_in(admin_client, "?until=2026-03-01") == ["gen-1"]
    assert shown_in(admin_client, "?q=sea&model=sdxl") == []


@pytest.mark.parametrize(
    "query",
    [
        "?since=yesterday",
        "?model=none",
        "?q=%00",
        "?at=nonsense",
        "?at=0001-01-01T00:00%2B23:00~1",
        "?until=9999-12-31",
        f"?q={'x' * 300}",
    ],
)
def test_what_cannot_be_looked_for_narrows_nothing(admin_client: Client, query: str) -> None:
    picture_of("gen-1")
    assert shown_in(admin_client, query) == ["gen-1"]


def test_pages_follow_on_one_another_while_pictures_come(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PICTURES_ON_A_PAGE", 2)
    for number in range(5):
        picture_of(f"gen-{number}", days=number // 2)
    first = text_of(admin_client, reverse("admin:gallery"))
    older = re.findall(r'rel="next" href="([^"]+)"', first)[0].replace("&amp;", "&")
    picture_of("gen-9", days=9)
    assert shown_in(admin_client, older) == ["gen-2", "gen-1"]
    second = text_of(admin_client, reverse("admin:gallery") + older)
    assert "4 to 5 of 6 pictures" in second
    newer = re.findall(r'rel="prev" href="([^"]+)"', second)[0]
    assert shown_in(admin_client, newer) == ["gen-4", "gen-3"]


def test_the_number_of_queries_stays_the_same(admin_client: Client) -> None:
    picture_of("gen-1")
    with CaptureQueriesContext(
        connection,
    ) as with_one:
        shown_in(admin_client)
    for number in range(20):
        picture_of(f"gen-a{number}", days=number, order={"loras": [{"id": f"lora-{number}"}]})
    with CaptureQueriesContext(connection) as with_many:
        assert len(shown_in(admin_client)) == 21
    assert len(with_many) == len(with_one) <= 14


def test_a_picture_is_explained_in_words_with_its_neighbours(admin_client: Client) -> None:
    used = {"id": "lora-gone", "title": "Ada v3", "version": 3, "strength": 0.8, "sha256": rows.SHA}
    picture_of("gen-1", days=1, prompt="sea")
    picture_of("gen-2", days=2, prompt="sea and sky", order={"loras": [used]}, steps=33)
    picture_of("gen-3", days=3, prompt="a wood")
    picture_of("gen-4", days=4, prompt="sea")
    page = text_of(admin_client, reverse("admin:gallery_picture", args=["gen-2.png"]) + "?q=sea")
    for words in ("sea and sky", "1024 × 768 pixels", "FLUX.1 dev", "Ada v3", "version 3", "deleted since", ">33<"):
        assert words in page, words
    assert re.search(r'data-turn="newer" href="/admin/gallery/gen-4.png/\?q=sea"', page)
    assert re.search(r'data-turn="older" href="/admin/gallery/gen-1.png/\?q=sea"', page)
    for form in ("png", "webp", "jpeg"):
        assert f'href="/api/outputs/gen-2.png?format={form}" download="gen-2.{form}"' in page
    assert admin_client.get(reverse("admin:gallery_picture", args=["none.png"])).status_code == 404


@pytest.mark.parametrize(("verb", "is_same"), [("same", True), ("new", False)])
def test_a_picture_is_made_again_once_and_who_did_it_is_kept(verb: str, *, is_same: bool) -> None:
    picture_of("gen-1")
    client, sent = logged_in("operator"), {"verb": verb, "request_key": "k-1"}
    first = client.post(reverse("admin:gallery_rerun", args=["gen-1.png"]), sent)
    again = Job.objects.get(order__rerun_of="gen-1")
    assert first.headers["Location"] == reverse("admin:jobs_job_change", args=[again.pk])
    assert (again.config["seed"] == 5) is is_same
    second = client.post(reverse("admin:gallery_rerun", args=["gen-1.png"]), sent)
    assert second.headers["Location"] == first.headers["Location"]
    entry = LogEntry.objects.get()
    assert (entry.user.get_username(), entry.object_id, entry.action_flag) == ("a-operator", again.pk, ADDITION)


def test_why_a_picture_cannot_be_made_again_is_said(admin_client: Client) -> None:
    used = {"id": "lora-gone", "title": "Ada v3", "sha256": rows.SHA, "strength": 1.0}
    picture_of("gen-1", order={"loras": [used]}, lora_id="char-1")
    answer = admin_client.post(reverse("admin:gallery_rerun", args=["gen-1.png"]), {"verb": "same"}, follow=True)
    assert "has been deleted" in answer.content.decode()
    assert Job.objects.count() == 1


def test_viewers_look_and_strangers_do_not() -> None:
    picture_of("gen-1")
    viewer = logged_in("viewer")
    page, rerun = (reverse(f"admin:gallery_{each}", args=["gen-1.png"]) for each in ("picture", "rerun"))
    assert "Make it again" not in text_of(viewer, page)
    assert viewer.post(rerun, {"verb": "same"}).status_code == 403
    for address in (reverse("admin:gallery"), page):
        assert viewer.get(address).status_code == 200
        assert Client().get(address).headers["Location"].startswith(reverse("admin:login"))
    assert json.loads(Client().get("/api/outputs/none.png").content)["detail"]
