import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from PIL import Image
from rest_framework.test import APIClient

from characters import renditions, thumbnails
from characters.models import TrainingImage
from jobs.models import Artifact, Job
from tests.characters.making import decoded, encoded, jpeg, new_character, picture, upload

pytestmark = pytest.mark.django_db
with_commits = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.RATE_LIMITS = "off"
    settings.MEDIA_ROOT = str(tmp_path)
    return tmp_path


def sent(name: str, content: bytes) -> str:
    """Upload a photo and return where it can be had."""
    character_id = new_character()["id"]
    upload(character_id, (name, content))
    return f"/api/characters/{character_id}/images/{name}"


def get(path: str, **headers: str) -> tuple[Any, bytes]:
    response = APIClient().get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    content = b"".join(response.streaming_content) if response.streaming else response.content
    return response, content


def kept(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "thumbnails").rglob("*") if path.is_file())


def test_a_thumbnail_is_a_small_webp_of_the_same_shape() -> None:
    response, content = get(sent("a.jpg", jpeg((400, 300))) + "?size=100")
    assert (decoded(content).format, decoded(content).size) == ("WEBP", (100, 75))
    assert response.headers["Content-Type"] == "image/webp"
    assert response.headers["Content-Disposition"] == 'inline; filename="a-100.webp"'
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert response.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize(("size", "shown"), [(64, (48, 64)), (128, (96, 128)), (1024, (120, 160))])
def test_the_longest_side_is_the_size_and_nothing_is_enlarged(size: int, shown: tuple[int, int]) -> None:
    _, content = get(sent("a.jpg", jpeg((120, 160))) + f"?size={size}")
    assert decoded(content).size == shown


def test_transparency_survives() -> None:
    _, content = get(sent("a.png", encoded(picture(colour=(9, 9, 9, 0), mode="RGBA"), "PNG")) + "?size=64")
    assert decoded(content).convert("RGBA").getpixel((5, 5))[3] == 0


@pytest.mark.parametrize("size", ["63", "2049", "0", "-64", "64.5", "abc", "", "1e2", "٦٤٠"])
def test_another_size_is_refused_with_the_limits(size: str) -> None:
    response = APIClient().get(sent("a.jpg", jpeg()) + f"?size={size}")
    assert (response.status_code, response.json()) == (
        400,
        {"detail": "size: must be a whole number from 64 to 2048."},
    )


def test_each_size_has_an_etag_of_its_own_and_a_client_that_has_it_gets_no_second_copy() -> None:
    path = sent("a.jpg", jpeg((400, 300)))
    etags = {get(path + query)[0].headers["ETag"] for query in ("", "?size=64", "?size=65")}
    assert len(etags) == 3
    small, _ = get(path + "?size=64")
    again, content = get(path + "?size=64", if_none_match=small.headers["ETag"])
    assert (again.status_code, content) == (304, b"")


def test_a_client_that_has_it_costs_no_thumbnail(root: Path) -> None:
    path = sent("a.jpg", jpeg())
    etag = f'"{TrainingImage.objects.get().sha256}-64.webp"'
    assert get(path + "?size=64", if_none_match=etag)[0].status_code == 304
    assert kept(root) == []


def test_a_thumbnail_is_made_once(root: Path) -> None:
    path = sent("a.jpg", jpeg((400, 300)))
    _, first = get(path + "?size=64")
    (file,) = [path for path in (root / "thumbnails").rglob("*") if path.is_file()]
    before = file.stat()
    _, second = get(path + "?size=64")
    assert first == second == file.read_bytes()
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_part_of_a_thumbnail_can_be_had() -> None:
    path = sent("a.jpg", jpeg((400, 300))) + "?size=64"
    _, content = get(path)
    part, tail = get(path, range="bytes=-10")
    assert (part.status_code, tail) == (206, content[-10:])


def test_many_sizes_do_not_fill_the_disk(root: Path) -> None:
    path = sent("a.jpg", jpeg((400, 300)))
    for size in range(64, 64 + thumbnails.MAX_KEPT_PER_PICTURE + 3):
        assert max(decoded(get(f"{path}?size={size}")[1]).size) == size
    assert len(kept(root)) == thumbnails.MAX_KEPT_PER_PICTURE


@with_commits
def test_thumbnails_go_with_their_image(root: Path) -> None:
    path = sent("a.jpg", jpeg((400, 300)))
    get(path + "?size=64")
    assert kept(root) == ["64.webp"]
    assert APIClient().delete(path).status_code == 204
    assert not [*(root / "thumbnails" / "uploads").rglob("*.jpg*")]


@with_commits
def test_thumbnails_go_with_their_character(root: Path) -> None:
    path = sent("a.jpg", jpeg((400, 300)))
    get(path + "?size=64")
    assert APIClient().delete("/".join(path.split("/")[:4])).status_code == 204
    assert [*(root / "thumbnails" / "uploads").iterdir()] == []


@with_commits
def test_a_thumbnail_of_an_image_that_is_deleted_meanwhile_is_not_kept(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sent("a.jpg", jpeg((400, 300)))
    render = renditions.render

    def delete_then_render(source: Any, wanted: renditions.Rendition) -> bytes:
        assert APIClient().delete(path).status_code == 204
        return render(source, wanted)

    monkeypatch.setattr(renditions, "render", delete_then_render)
    assert get(path + "?size=64")[0].status_code == 200
    assert kept(root) == []


def test_a_thumbnail_is_sent_even_when_it_cannot_be_kept(root: Path) -> None:
    path = sent("a.jpg", jpeg((400, 300)))
    (root / "thumbnails").write_text("a file where the folder should be")
    response, content = get(path + "?size=64")
    assert (response.status_code, decoded(content).size) == (200, (64, 48))


def test_a_damaged_file_is_not_found_as_a_thumbnail(root: Path) -> None:
    path = sent("a.jpg", jpeg())
    (root / TrainingImage.objects.get().key).write_bytes(b"no picture")
    response = APIClient().get(path + "?size=64")
    assert (response.status_code, response.json()) == (404, {"detail": "The file of a.jpg is damaged"})


def test_a_lost_file_is_not_found_as_a_thumbnail(root: Path) -> None:
    path = sent("a.jpg", jpeg())
    (root / TrainingImage.objects.get().key).unlink()
    response = APIClient().get(path + "?size=64")
    assert (response.status_code, response.json()) == (404, {"detail": "The file of a.jpg is missing"})


@with_commits
def test_many_at_once_all_get_the_thumbnail(root: Path) -> None:
    path = sent("a.jpg", jpeg((2000, 1500)))
    start = threading.Barrier(6)

    def ask(_: int) -> bytes:
        start.wait(timeout=30)
        try:
            return get(path + "?size=64")[1]
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(ask, range(6)))) == 1
    assert kept(root) == ["64.webp"]


@pytest.fixture
def output(root: Path) -> Artifact:
    """A generated picture, which carries the workflow that made it."""
    now = timezone.now()
    job = Job.objects.create(
        id="gen-thumbnail01", kind="generation", status="completed", progress=100, started_at=now, completed_at=now
    )
    workflow = Image.new("RGB", (512, 768), (10, 120, 200))
    workflow.info["comment"] = "secret workflow"
    content = encoded(workflow, "PNG")
    key = "outputs/gen-thumbnail01-0.png"
    (root / "outputs").mkdir()
    (root / key).write_bytes(content)
    return Artifact.objects.create(
        job=job, type="output", name="gen-thumbnail01-0.png", key=key, size_bytes=len(content)
    )


@pytest.mark.parametrize("address", ["/api/generation/output", "/api/outputs"])
def test_generated_images_have_thumbnails_too(output: Artifact, address: str) -> None:
    response, content = get(f"{address}/{output.name}?size=256")
    assert (decoded(content).format, decoded(content).size) == ("WEBP", (171, 256))
    assert response.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert b"workflow" not in content


def test_generated_images_can_be_had_in_parts(output: Artifact, root: Path) -> None:
    response, content = get(f"/api/outputs/{output.name}", range="bytes=0-7")
    assert (response.status_code, content) == (206, (root / output.key).read_bytes()[:8])
