"""The LoRA library over HTTP: upload, list, look at, delete."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from characters.files import publish
from characters.lora_uploads import MAX_BYTES
from characters.loras import LoraInUse, before_delete
from characters.models import Lora
from tests.characters.lora_making import (
    RANK,
    UNKNOWN_LORA,
    file_with,
    lora_bytes,
    pair,
    send_lora,
    upload_lora,
)
from tests.characters.making import new_character
from tests.contract.patience import hold_the_minute

pytestmark = pytest.mark.django_db

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.RATE_LIMITS = "off"
    settings.MEDIA_ROOT = str(tmp_path / "stored")
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path / "arriving")
    return tmp_path


def stored(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root / "stored")) for path in (root / "stored").rglob("*") if path.is_file())


def library(query: str = "") -> dict[str, Any]:
    response = APIClient().get(f"/api/loras{query}")
    assert response.status_code == 200, response.content
    answer = dict(response.json())
    assert response.headers["X-Total-Count"] == str(answer["total_count"])
    return answer


def trained(version: int = 1) -> Lora:
    character_id = new_character()["id"]
    return Lora.objects.create(
        character_id=character_id,
        version=version,
        name=f"Ada v{version}",
        key=f"loras/{character_id}/v{version}.safetensors",
        trigger_word="ada_person",
        size_bytes=1,
        sha256="0" * 64,
    )


def detail(response: Any, status: int) -> str:
    assert response.status_code == status, response.content
    answer = response.json()
    assert set(answer) == {"detail"}
    return str(answer["detail"])


def test_an_upload_answers_with_the_lora(root: Path) -> None:
    content = lora_bytes()
    lora = upload_lora(content, "My Style.safetensors", name=" Style ", trigger_word="in style")
    assert re.fullmatch(r"lora-[0-9a-f]{12}", lora["id"])
    assert MOMENT.fullmatch(lora.pop("uploaded_at"))
    assert lora == {
        "id": lora["id"],
        "name": "Style",
        "filename": "My Style.safetensors",
        "trigger_word": "in style",
        "size_bytes": len(content),
        "path": f"/data/loras/uploaded/{lora['id']}.safetensors",
    }
    assert (root / "stored" / lora["path"].removeprefix("/data/")).read_bytes() == content


def test_the_row_tells_what_is_in_the_file() -> None:
    long_text, nul = "x" * 501, "a\0b"
    content = lora_bytes(software="by hand", tags=long_text, odd=nul)
    lora = Lora.objects.get(pk=upload_lora(content)["id"])
    assert (lora.character, lora.version, lora.sha256) == (None, None, hashlib.sha256(content).hexdigest())
    assert (lora.base_model, lora.trigger_word) == ("", "")
    assert lora.details == {
        "family": None,
        "filename": "style.safetensors",
        "layouts": ["peft"],
        "ranks": [RANK],
        "dtypes": ["F32"],
        "tensor_count": 2,
        "module_count": 1,
        "metadata": {"software": "by hand"},
    }


@pytest.mark.parametrize("fields", [{}, {"trigger_word": ""}])
def test_a_lora_needs_no_trigger_word(fields: dict[str, str]) -> None:
    assert upload_lora(**fields)["trigger_word"] is None


def test_the_same_file_again_is_kept_once(root: Path) -> None:
    first = upload_lora(name="First")
    again = send_lora(filename="other.safetensors", name="Again")
    assert (again.status_code, again.json()) == (200, first)
    assert stored(root) == [f"loras/uploaded/{first['id']}.safetensors"]
    assert library()["total_count"] == 1


def test_the_same_file_again_brings_a_lost_file_back(root: Path) -> None:
    first = upload_lora()
    kept = root / "stored" / first["path"].removeprefix("/data/")
    kept.unlink()
    assert send_lora().status_code == 200
    assert kept.read_bytes() == lora_bytes()


def test_a_file_that_a_character_has_is_kept_apart_from_it() -> None:
    own = trained()
    Lora.objects.filter(pk=own.pk).update(sha256=hashlib.sha256(lora_bytes()).hexdigest())
    assert upload_lora()["id"] != own.pk


def test_files_of_one_name_are_both_kept(root: Path) -> None:
    paths = {upload_lora(lora_bytes(weight))["path"] for weight in (0.1, 0.2)}
    assert len(paths) == len(stored(root)) == 2


def test_a_name_with_a_path_or_beyond_all_lengths_is_cut() -> None:
    assert upload_lora(lora_bytes(0.1), "../../etc/a\u202eb.safetensors")["filename"] == "ab.safetensors"
    long = upload_lora(lora_bytes(0.2), "x" * 240 + ".SafeTensors")["filename"]
    assert (len(long), long[-13:]) == (200, "x.safetensors")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": None}, "name: This field is required."),
        ({"name": "  "}, "name: This field may not be blank."),
        ({"name": "x" * 101}, "name: Ensure this field has no more than 100 characters."),
        ({"name": "a\nb"}, "name: Control characters and line breaks are not allowed."),
        ({"name": "a\0b"}, "name: Null characters are not allowed."),
        ({"name": ["a", "b"]}, "name: Send it once."),
        ({"trigger_word": "a"}, "trigger_word: Ensure this field has at least 2 characters."),
        ({"trigger_word": "a" * 51}, "trigger_word: Ensure this field has no more than 50 characters."),
        ({"trigger_word": "a<b>"}, "trigger_word: Use only letters, digits, '_', '-' and spaces."),
        ({"base_model": "flux"}, "base_model: There is no such field; send files as `file`."),
        ({"file": None}, "file: Send at least one file."),
        ({"file": "text"}, "file: Send files, not text."),
    ],
)
def test_a_form_that_is_not_valid_is_refused(root: Path, fields: dict[str, Any], said: str) -> None:
    assert said in detail(send_lora(**fields), 400)
    assert (Lora.objects.count(), stored(root)) == (0, [])


def test_text_that_is_no_utf8_is_refused() -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n\xff\xfe\r\n'
    body += b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.safetensors"\r\n\r\n'
    body += lora_bytes() + b"\r\n--x--\r\n"
    response = APIClient().generic("POST", "/api/loras/upload", body, content_type="multipart/form-data; boundary=x")
    assert detail(response, 400) == "name: Send text in UTF-8."


def test_two_files_at_once_are_refused() -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.safetensors"\r\n\r\n' + lora_bytes()
    body = part + b"\r\n" + part + b"\r\n--x--\r\n"
    response = APIClient().generic("POST", "/api/loras/upload", body, content_type="multipart/form-data; boundary=x")
    assert detail(response, 400) == "file: Send it once."


@pytest.mark.parametrize(
    ("content", "filename", "said"),
    [
        (
            lora_bytes(),
            "style.ckpt",
            "file: The file's name must end in .safetensors; pickled files (.ckpt, .pt, .bin)",
        ),
        (lora_bytes(), "style", "file: The file's name must end in .safetensors"),
        (b"", "style.safetensors", "file: The file is empty."),
        (b"PK\x03\x04" + bytes(99), "style.safetensors", "file: This is a pickled file"),
        (lora_bytes()[:-1], "style.safetensors", "file: The file is cut off; bytes missing at its end: 1."),
        (lora_bytes(float("nan")), "style.safetensors", "has numbers that are NaN or infinite"),
        (file_with({"vae.conv.weight": [4, 4]}), "style.safetensors", "is this a whole model?"),
    ],
)
def test_a_file_that_is_no_lora_is_refused_and_nothing_is_kept(
    root: Path, content: bytes, filename: str, said: str
) -> None:
    assert said in detail(send_lora(content, filename), 400)
    assert (Lora.objects.count(), stored(root)) == (0, [])
    assert list((root / "arriving").iterdir()) == []


def test_a_body_that_is_too_large_is_refused_before_it_is_read() -> None:
    response = APIClient().generic(
        "POST",
        "/api/loras/upload",
        b"--x",
        content_type="multipart/form-data; boundary=x",
        CONTENT_LENGTH=str(MAX_BYTES + 2_000_000),
    )
    assert detail(response, 413) == "The request body is too large; send at most 501000000 bytes."


def test_a_file_that_is_a_byte_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("characters.lora_views.LoraUploadView.max_file_bytes", len(lora_bytes()) - 1)
    monkeypatch.setattr("characters.lora_uploads.MAX_BYTES", len(lora_bytes()) - 1)
    assert detail(send_lora(), 400) == "file: The file is too large: a LoRA may have at most 500 MB."


def test_uploads_are_counted_and_limited(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hold_the_minute(monkeypatch, settings)
    settings.RATE_LIMITS = "contract"
    settings.RATES_PER_MINUTE = settings.RATES_PER_MINUTE | {"lora-upload": 1}
    assert send_lora(b"").status_code == 400
    response = send_lora()
    assert "Rate limit exceeded" in detail(response, 429)
    assert int(response.headers["Retry-After"]) > 0


def test_an_empty_library_is_an_empty_list() -> None:
    assert library() == {"loras": [], "total_count": 0}


def test_the_library_lists_uploads_newest_first() -> None:
    loras = [upload_lora(lora_bytes(number / 8), name=f"Style {number}") for number in range(3)]
    trained()
    assert library() == {"loras": loras[::-1], "total_count": 3}
    assert library("?limit=1&offset=1") == {"loras": [loras[1]], "total_count": 3}


def test_trained_versions_are_listed_when_asked_for() -> None:
    own, uploaded = trained(version=3), upload_lora()
    assert [lora["id"] for lora in library("?source=all")["loras"]] == [uploaded["id"], own.pk]
    (shown,) = library("?source=trained")["loras"]
    assert MOMENT.fullmatch(shown.pop("uploaded_at"))
    assert shown == {
        "id": own.pk,
        "name": "Ada v3",
        "filename": "v3.safetensors",
        "trigger_word": "ada_person",
        "size_bytes": 1,
        "path": f"/data/loras/{own.character_id}/v3.safetensors",
    }


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("source=mine", "source: must be one of uploaded, trained, all."),
        ("source=", "source: must be one of uploaded, trained, all."),
        ("base_model=sd15", "base_model: must be one of flux-dev, flux-schnell, "),
        ("base_model=", "base_model: must be one of flux-dev, flux-schnell, "),
        ("limit=0", "limit: must be a whole number from 1 to 100."),
        ("limit=101", "limit: must be a whole number from 1 to 100."),
        ("offset=-1", "offset: must be a whole number from 0 to 2147483647."),
    ],
)
def test_a_query_that_is_not_valid_is_refused(query: str, said: str) -> None:
    assert detail(APIClient().get(f"/api/loras?{query}"), 400).startswith(said)


def test_listing_takes_the_same_number_of_queries_for_any_number_of_loras(
    django_assert_num_queries: Any,
) -> None:
    for number in range(4):
        upload_lora(lora_bytes(number / 8))
    with django_assert_num_queries(2):
        library()


def test_a_lora_can_be_looked_at() -> None:
    uploaded, own = upload_lora(), trained()
    assert APIClient().get(f"/api/loras/{uploaded['id']}").json().items() >= uploaded.items()
    assert APIClient().get(f"/api/loras/{own.pk}").json()["name"] == "Ada v1"


def test_a_deleted_lora_is_gone_with_its_file(root: Path, django_capture_on_commit_callbacks: Any) -> None:
    lora = upload_lora()
    with django_capture_on_commit_callbacks(execute=True):
        response = APIClient().delete(f"/api/loras/{lora['id']}")
    assert (response.status_code, response.json()) == (200, {"status": "deleted", "id": lora["id"]})
    assert (library()["total_count"], stored(root)) == (0, [])
    assert detail(APIClient().delete(f"/api/loras/{lora['id']}"), 404) == f"LoRA {lora['id']} not found"


def test_a_deleted_file_can_be_uploaded_again_as_another_lora() -> None:
    first = upload_lora()
    APIClient().delete(f"/api/loras/{first['id']}")
    assert upload_lora()["id"] != first["id"]


def test_a_trained_version_can_be_deleted_and_the_one_before_is_the_newest_again(
    root: Path, django_capture_on_commit_callbacks: Any
) -> None:
    character_id = new_character()["id"]
    for version in (1, 2):
        key = f"loras/{character_id}/v{version}.safetensors"
        with (root / "content").open("w+b") as content:
            publish(key, content)
        newest = Lora.objects.create(
            character_id=character_id, version=version, name="Ada", key=key, size_bytes=0, sha256=str(version)
        )
    with django_capture_on_commit_callbacks(execute=True):
        assert APIClient().delete(f"/api/loras/{newest.pk}").status_code == 200
    assert stored(root) == [f"loras/{character_id}/v1.safetensors"]
    shown = APIClient().get(f"/api/characters/{character_id}").json()
    assert shown["lora_path"] == f"/data/loras/{character_id}/v1.safetensors"


@pytest.mark.parametrize("lora_id", [UNKNOWN_LORA, "%00", "x" * 3000, "..%2f..%2fetc"])
@pytest.mark.parametrize("method", ["get", "delete"])
def test_an_unknown_lora_is_not_found(method: str, lora_id: str) -> None:
    assert detail(getattr(APIClient(), method)(f"/api/loras/{lora_id}"), 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [("post", "/api/loras"), ("get", "/api/loras/upload/x"), ("patch", f"/api/loras/{UNKNOWN_LORA}")],
)
def test_other_methods_and_addresses_are_refused(method: str, path: str) -> None:
    assert getattr(APIClient(), method)(path).status_code in (404, 405)


def test_a_form_is_the_only_body_an_upload_takes() -> None:
    assert detail(APIClient().post("/api/loras/upload", {"name": "x"}), 415)


def test_a_check_keeps_a_lora_from_being_deleted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("characters.loras._delete_checks", [])
    lora = upload_lora()

    def refuse(lora_id: str) -> None:
        raise LoraInUse(f"{lora_id} is needed.")

    before_delete(refuse)
    assert detail(APIClient().delete(f"/api/loras/{lora['id']}"), 409) == f"{lora['id']} is needed."
    assert (library()["loras"], len(stored(root))) == ([lora], 1)


def test_a_row_that_cannot_be_written_leaves_no_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("the database is gone")

    monkeypatch.setattr(Lora, "save", refuse)
    with pytest.raises(RuntimeError, match="the database is gone"):
        send_lora()
    assert stored(root) == []


def test_many_pairs_of_different_ranks_make_one_lora() -> None:
    shapes = {f"transformer.b{n}.lora_{half}.weight": shape for n in range(1, 40) for half, shape in _halves(n)}
    lora = Lora.objects.get(pk=upload_lora(file_with({**pair(), **shapes}, "BF16"))["id"])
    assert (lora.details["ranks"], lora.details["module_count"]) == (list(range(1, 40)), 40)


def _halves(rank: int) -> list[tuple[str, list[int]]]:
    return [("A", [rank, 8]), ("B", [8, rank])]
