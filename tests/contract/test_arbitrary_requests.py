"""Whatever a client sends, to any address: no crash, an answer that the document knows, and errors in one shape."""

import json
import re
from urllib.parse import quote, urlencode

import pytest
from django.apps import apps
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from characters.models import Character
from tests.contract.openapi import Operation, operations

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("_no_limits", "patient_redis", "trainable"),
]

REQUESTS, PER_OPERATION = 250, 4
OWN_APPS = ("characters", "jobs")
SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
HEADERS = (
    "Accept",
    "Accept-Encoding",
    "Authorization",
    "Cancel-After",
    "Content-Encoding",
    "Cookie",
    "Host",
    "Idempotency-Key",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "Last-Event-ID",
    "Origin",
    "Range",
    "Transfer-Encoding",
    "X-Correlation-ID",
    "X-Forwarded-For",
    "X-HTTP-Method-Override",
)
CONTENT_TYPES = (
    "application/json",
    "application/json; charset=utf-16",
    "multipart/form-data; boundary=x",
    "multipart/form-data",
    "text/plain",
    "application/x-www-form-urlencoded",
    "",
    "/",
)
bounded = settings(derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
bodies = st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode())
headers = st.dictionaries(
    st.sampled_from(HEADERS), st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60), max_size=4
)


@pytest.fixture
def _no_limits(settings) -> None:
    settings.RATE_LIMITS = "off"


def bodies_for(found: Operation) -> st.SearchStrategy[bytes]:
    """Return bodies that have some of the operation's own keys."""
    names = sorted(found.body.get("properties", {}))
    if not names:
        return bodies
    return bodies | st.dictionaries(st.sampled_from(names), values).map(lambda body: json.dumps(body).encode())


def queries_for(found: Operation) -> st.SearchStrategy[dict[str, str]]:
    names = [parameter["name"] for parameter in found.parameters("query")]
    return st.dictionaries((st.sampled_from(names) if names else texts) | texts, texts, max_size=3)


def counts() -> dict[str, int]:
    own = [model for model in apps.get_models() if model._meta.app_label in OWN_APPS]
    return {model.__name__: model._default_manager.count() for model in own}


def assert_is_known(found: Operation, answer: object) -> None:
    assert answer.status_code < 500, answer.content
    assert SANE_ID.fullmatch(answer.headers["X-Correlation-ID"])
    if answer.status_code >= 400:
        assert answer.headers["Content-Type"] == "application/json"
        detail = answer.json()["detail"]
        assert list(answer.json()) == ["detail"]
        assert isinstance(detail, str)
        assert detail
    else:
        assert str(answer.status_code) in found.responses()


@pytest.mark.parametrize("found", operations(), ids=lambda found: found.id)
@settings(bounded, max_examples=PER_OPERATION)
@given(data=st.data())
def test_an_arbitrary_request_is_answered_in_shape(api: Client, found: Operation, data: st.DataObject) -> None:
    names = [parameter["name"] for parameter in found.parameters("path")]
    arguments = {name: quote(data.draw(texts, name), safe="") for name in names}
    query = urlencode(data.draw(queries_for(found), "query"))
    body, content_type = data.draw(bodies_for(found), "body"), data.draw(st.sampled_from(CONTENT_TYPES), "type")
    before = counts()
    answer = api.generic(
        found.method.upper(),
        f"{found.address(**arguments)}?{query}",
        body,
        content_type=content_type,
        headers=data.draw(headers, "headers"),
    )
    assert_is_known(found, answer)
    if answer.status_code >= 400 or found.method == "get":
        assert counts() == before


addresses = st.lists(
    texts | st.sampled_from(["api", "characters", "training", "jobs", "loras", "..", ".", "", "stream"]), max_size=6
)


@settings(bounded, max_examples=REQUESTS)
@given(method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"]), parts=addresses)
def test_an_arbitrary_address_is_answered_in_shape(api: Client, method: str, parts: list[str]) -> None:
    answer = api.generic(method, "/api/" + "/".join(quote(part, safe="") for part in parts))
    assert answer.status_code < 500
    if answer.status_code >= 400 and method != "HEAD":
        assert list(answer.json()) == ["detail"]


@settings(bounded, max_examples=REQUESTS)
@given(values)
def test_an_arbitrary_character_is_made_or_refused_but_never_half(api: Client, value: object) -> None:
    known = Character.objects.count()
    body = json.dumps({"name": value, "trigger_word": "ann_person", "description": value})
    answer = api.post("/api/characters", body, content_type="application/json")
    assert answer.status_code in (201, 400), answer.content
    assert Character.objects.count() == known + (answer.status_code == 201)
    if answer.status_code == 201:
        assert api.get(f"/api/characters/{answer.json()['id']}").json()["name"] == value.strip()
