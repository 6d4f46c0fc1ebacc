"""Every field of every request, with what does not belong there: 400, the field named, and nothing changed."""

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from django.apps import apps
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.utils import timezone

from characters.models import Character, Lora
from generation.models import InputImage
from generation.params import GenerationParams
from isengard.api.schema.examples import REQUESTS
from jobs.models import Artifact, Job
from tests.contract.bad_values import Field, bad_query_values, bad_values, fields
from tests.contract.openapi import Operation, operations

pytestmark = pytest.mark.django_db

GENERATION = "gen-000000000001"
OWN_APPS = ("characters", "jobs", "training", "generation")
WITH_A_BODY = [found for found in operations() if found.body]
NOT_JSON = {
    "cut off": b'{"name": "a',
    "NaN": b'{"name": NaN}',
    "infinity": b'{"name": -Infinity}',
    "latin-1": '{"name": "\u00e9"}'.encode("latin-1"),
    "utf-16": '{"name": "a"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"name": "a"}',
    "a lone surrogate": b'{"name": "\\ud800"}',
    "a key twice": b'{"name": "a", "name": "b"}',
    "a key twice within": b'{"config": {"steps": 500, "steps": 600}}',
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "deep within": b'{"config": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "more than one value": b"{} {}",
    "a list": b"[]",
    "a text": b'"name"',
    "a number": b"1e999",
    "a number beyond all": b'{"name": 1' + b"0" * 400 + b"}",
    "null": b"null",
}


@pytest.fixture(autouse=True)
def _no_limits(settings) -> None:
    settings.RATE_LIMITS = "off"


@pytest.fixture
def known(trainable: Character) -> dict[str, str]:
    """An existing thing for each parameter of a path."""
    lora = Lora.objects.create(
        character=trainable, version=1, name="Ann v1", key="loras/a/v1.safetensors", size_bytes=1, sha256="0" * 64
    )
    order = {"base_model": "flux-dev", "preset_name": None, "trigger_word": "ann", "character_name": "Ann"}
    job = Job.objects.create(
        id="train-000000000001",
        kind="training",
        character_id=trainable.pk,
        status="completed",
        completed_at=timezone.now(),
        order=order,
    )
    for kind in ("sample", "checkpoint", "output"):
        key = default_storage.save(f"{kind}s/{job.pk}/ann.jpg", ContentFile(b"\x89PNG"))
        Artifact.objects.create(job=job, type=kind, name="ann.jpg", key=key, size_bytes=4)
    key = default_storage.save("inputs/ann.jpg", ContentFile(b"\x89PNG"))
    InputImage.objects.create(name="ann.jpg", key=key, width=64, height=64, size_bytes=4, sha256="0" * 64)
    Job.objects.create(
        id=GENERATION,
        kind="generation",
        status="completed",
        completed_at=timezone.now(),
        config=GenerationParams(prompt="a portrait", seed=1).model_dump(mode="json"),
        order={"count": 2, "loras": []},
    )
    return {"character_id": trainable.pk, "filename": "ann.jpg", "job_id": job.pk, "lora_id": lora.pk}


def where(found: Operation, known: dict[str, str]) -> str:
    """Return where the operation has something to work on."""
    if found.path.startswith("/api/generation/"):
        known = known | {"job_id": GENERATION}
    return found.address(**known)


def rows() -> dict[str, list[tuple]]:
    """Return everything in the database that is ours."""
    own = [model for model in apps.get_models() if model._meta.app_label in OWN_APPS]
    return {model.__name__: sorted(map(repr, model._default_manager.values_list())) for model in own}


def valid_body(found: Operation) -> dict:
    assert found.id in REQUESTS, f"{found.id} has no example in isengard/api/schema/examples.py"
    return json.loads(json.dumps(REQUESTS[found.id]))


def send(api: Client, found: Operation, known: dict[str, str], body: str | bytes) -> object:
    return api.generic(found.method.upper(), where(found, known), body, content_type="application/json")


def all_fields() -> Iterator[tuple[Operation, Field]]:
    for found in WITH_A_BODY:
        yield from ((found, field) for field in fields(found.body))


def each(chosen: Iterator[tuple[Operation, Field]]) -> pytest.MarkDecorator:
    named = [pytest.param(found, field, id=f"{found.id}-{field.name}") for found, field in chosen]
    return pytest.mark.parametrize(("found", "field"), named)


each_field = each(all_fields())
each_required_field = each((found, field) for found, field in all_fields() if field.is_required)
each_body = pytest.mark.parametrize("found", WITH_A_BODY, ids=lambda found: found.id)


@each_field
def test_a_field_refuses_what_does_not_belong_there_by_its_name(api, known, found: Operation, field: Field) -> None:
    before = rows()
    values = list(bad_values(field.schema))
    assert values or not field.schema.keys() & {"type", "anyOf", "oneOf"}
    for raw in values:
        answer = send(api, found, known, field.put(valid_body(found), raw))
        assert answer.status_code == 400, (raw[:80], answer.content)
        assert answer.json()["detail"].startswith(field.name), (raw[:80], answer.json())
    nul = send(api, found, known, field.put(valid_body(found), '"a\\u0000b"'))
    assert nul.status_code == 400
    assert nul.json()["detail"].startswith(f"{field.name}:"), nul.json()
    assert rows() == before


@each_required_field
def test_a_missing_field_is_named_if_it_is_required(api, known, found: Operation, field: Field) -> None:
    before = rows()
    answer = send(api, found, known, field.without(valid_body(found)))
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(f"{field.name}:"), answer.json()
    assert rows() == before


@each_body
def test_a_field_that_nobody_knows_is_named(api, known, found: Operation) -> None:
    answer = send(api, found, known, json.dumps(valid_body(found) | {"surprise": 1}))
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("surprise:")


@each_body
def test_what_is_no_json_object_is_refused(api, known, found: Operation) -> None:
    before = rows()
    for name, body in NOT_JSON.items():
        answer = send(api, found, known, body)
        assert answer.status_code == 400, (name, answer.content)
        assert isinstance(answer.json()["detail"], str), name
    assert rows() == before


@each_body
def test_no_body_at_all_is_refused_where_something_is_required(api, known, found: Operation) -> None:
    before = rows()
    answer = send(api, found, known, b"")
    if found.body.get("required"):
        assert answer.status_code == 400
        assert rows() == before
    else:
        # Whether the job that is there can be run again is another matter.
        assert answer.status_code in (200, 201) or "body" not in answer.json()["detail"]


@each_body
def test_a_body_over_the_limit_is_413_and_another_media_type_415(api, known, found: Operation) -> None:
    assert send(api, found, known, b" " * 1_000_001).status_code == 413
    address = where(found, known)
    for content_type in ("text/csv", "application/xml", "multipart/form-data; boundary=x", "nonsense"):
        answer = api.generic(found.method.upper(), address, b"{}", content_type=content_type)
        assert answer.status_code == 415, content_type
        assert content_type.split(";")[0] in answer.json()["detail"]


QUERIES = [
    pytest.param(found, parameter, id=f"{found.id}-{parameter['name']}")
    for found in operations()
    for parameter in found.parameters("query")
]


@pytest.mark.parametrize(("found", "parameter"), QUERIES)
def test_a_query_parameter_refuses_nonsense_by_its_name(api, known, found: Operation, parameter: dict) -> None:
    values = list(bad_query_values(parameter["schema"]))
    assert values
    for value in values:
        address = f"{where(found, known)}?{parameter['name']}={quote(value, safe='')}"
        answer = api.generic(found.method.upper(), address)
        assert answer.status_code == 400, (value[:80], answer.content)
        assert answer.json()["detail"].startswith(f"{parameter['name']}:"), value[:80]


WITH_A_PATH = [found for found in operations() if "{" in found.path]
STRANGE = {
    "traversal": "..%2F..%2Fisengard.sqlite3",
    "plain traversal": "../../isengard.sqlite3",
    "backslashes": "..%5C..%5Cisengard.sqlite3",
    "nul": "a%00b",
    "over-long": "x" * 5000,
    "not utf-8": "%ff%fe",
    "a line break": "a%0D%0AX-Evil:%20yes",
    "a quote": "%22%27%3B--",
    "a dot": ".",
    "script": "%3Cscript%3E",
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("found", WITH_A_PATH, ids=lambda found: found.id)
def test_a_strange_path_leads_nowhere(api, known, found: Operation) -> None:
    before = rows()
    for strange in STRANGE.values():
        for name in [parameter["name"] for parameter in found.parameters("path")]:
            answer = api.generic(found.method.upper(), found.address(**known | {name: strange}))
            assert answer.status_code in (404, 405), (strange, name, answer.status_code)
            assert list(answer.json()) == ["detail"]
            assert "X-Evil" not in answer.headers
    assert rows() == before


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", sorted({found.path for found in operations()}))
def test_a_method_that_is_not_described_is_405_and_says_which_are_allowed(api, known, path: str) -> None:
    described = {found.method.upper() for found in operations() if found.path == path}
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"} - described:
        answer = api.generic(method, path.format_map(known))
        assert answer.status_code == 405, method
        assert described <= {allowed.strip() for allowed in answer.headers["Allow"].split(",")}
        assert list(answer.json()) == ["detail"]
