"""Health, readiness, capabilities, errors, correlation ids, CORS, rate limits and client logs."""

import json
import math
import re
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError
from django.test import Client

from characters.models import Character
from jobs.progress import writer

pytestmark = pytest.mark.django_db

ROOTS = ["", "/api"]
FRONTEND = "http://localhost:3000"


@pytest.mark.parametrize("root", ROOTS)
def test_health_says_healthy_and_nothing_else(api: Client, root: str) -> None:
    answer = api.get(f"{root}/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})


@pytest.mark.usefixtures("patient_redis")
@pytest.mark.parametrize("root", ROOTS)
def test_ready_names_what_it_stands_on(api: Client, root: str) -> None:
    answer = api.get(f"{root}/ready")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "mode": "fast-test",
        "dependencies": {"redis": "ok", "storage": "ok", "database": "ok"},
    }


def test_ready_is_503_and_says_why_when_redis_is_away(api: Client, monkeypatch) -> None:
    monkeypatch.setattr("isengard.api.health.redis_server.trouble", lambda: "it cannot be reached")
    answer = api.get("/ready")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "Not ready: redis is unavailable (it cannot be reached)."
    assert answer.json()["status"] == "not ready"
    assert answer.json()["dependencies"]["redis"] == "unavailable"


def test_ready_is_503_when_nothing_can_be_stored(api: Client, settings, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    settings.MEDIA_ROOT = blocked
    answer = api.get("/api/ready")
    assert (answer.status_code, answer.json()["dependencies"]["storage"]) == (503, "unavailable")


@pytest.mark.parametrize("root", ROOTS)
def test_info_tells_name_mode_and_both_engines(api: Client, root: str) -> None:
    info = api.get(f"{root}/info").json()
    assert (info["name"], info["version"], info["mode"]) == ("Isengard API", django_settings.VERSION, "fast-test")
    assert (info["training"]["method"], info["training"]["backend"]) == ("lora", "ai-toolkit")
    assert info["image_generation"]["backend"] == "comfyui"
    assert info["image_generation"]["model_variants"] == ["flux-schnell", "flux-dev"]


def test_info_describes_each_parameter_as_the_contract_does(api: Client) -> None:
    info = api.get("/info").json()
    steps = info["training"]["parameters"]["steps"]
    assert {"type": "int", "min": 100, "max": 10000, "default": 1000, "wired": True}.items() <= steps.items()
    assert steps["description"]
    drawn = info["image_generation"]["parameters"]["steps"]
    assert {"type": "int", "min": 1, "max": 100, "default": 20, "wired": True}.items() <= drawn.items()


def test_every_parameter_says_whether_it_is_wired_and_if_not_why(api: Client) -> None:
    info = api.get("/info").json()
    for part in ("training", "image_generation"):
        for name, parameter in info[part]["parameters"].items():
            assert isinstance(parameter["wired"], bool), name
            assert parameter["wired"] or parameter["reason"], name
            assert parameter["description"], name


def test_a_toggle_that_is_not_supported_says_why(api: Client) -> None:
    toggles = api.get("/info").json()["image_generation"]["toggles"]
    assert set(toggles) == {"use_controlnet", "use_ipadapter", "use_facedetailer", "use_upscale"}
    for toggle in toggles.values():
        assert toggle["supported"] or toggle["reason"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "/api/nothing", 404),
        ("get", "/api/characters/", 404),
        ("delete", "/api/training", 405),
        ("put", "/health", 405),
        ("get", "/api/characters/%00", 404),
        ("get", "/api/../etc/passwd", 404),
        ("post", "/api/jobs/x/logs", 405),
    ],
)
def test_an_error_is_json_with_one_sentence(api: Client, method: str, path: str, status: int) -> None:
    answer = getattr(api, method)(path)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/json"
    assert list(answer.json()) == ["detail"]
    assert isinstance(answer.json()["detail"], str)
    assert answer.headers["X-Correlation-ID"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "not valid JSON"),
        (b'{"name": NaN}', "not valid JSON"),
        (b'{"name": "\xff"}', "not valid JSON"),
        (b'{"name": "\\ud800"}', "not valid JSON"),
        (b'{"name": "a", "name": "b"}', "given twice"),
        (b'{"name": "a\\u0000b", "trigger_word": "abc"}', "NUL"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", ""),
        (b'"text"', ""),
        (b"", ""),
    ],
)
def test_a_body_that_is_no_proper_json_object_is_400(api: Client, body: bytes, said: str) -> None:
    for path in ("/api/characters", "/api/training", "/api/generation", "/api/client-logs"):
        answer = api.post(path, body, content_type="application/json")
        assert answer.status_code in (400, 429), (path, answer.content)
        if answer.status_code == 400:
            assert said in answer.json()["detail"]


def test_another_media_type_is_415(api: Client) -> None:
    answer = api.post("/api/characters", "name=a", content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 415
    assert "application/x-www-form-urlencoded" in answer.json()["detail"]


def test_a_body_over_the_limit_is_413(api: Client) -> None:
    answer = api.post("/api/characters", b"x" * 1_000_001, content_type="application/json")
    assert answer.status_code == 413
    assert "1000000 bytes" in answer.json()["detail"]


def test_whatever_a_client_accepts_it_gets_json(api: Client) -> None:
    answer = api.get("/api/characters", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")


def test_a_crash_answers_json_with_the_correlation_id_and_logs_the_traceback(api, monkeypatch, caplog) -> None:
    def crash(*_: object) -> None:
        raise ZeroDivisionError("inner secret")

    monkeypatch.setattr("isengard.api.health.training.offers.info", crash)
    answer = api.get("/api/info", headers={"X-Correlation-ID": "trace-me"})
    assert answer.status_code == 500
    assert "trace-me" in answer.json()["detail"]
    assert "inner secret" not in answer.content.decode()
    assert "inner secret" in caplog.text


def test_a_database_that_does_not_answer_is_503(api: Client, monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr("training.views.as_answers", fail)
    answer = api.get("/api/training")
    assert answer.status_code == 503
    assert "try again" in answer.json()["detail"]


@pytest.mark.parametrize("given", ["abc", "A-Z_0.9:x", "x" * 128])
def test_a_sane_correlation_id_comes_back(api: Client, given: str) -> None:
    assert api.get("/api/health", headers={"X-Correlation-ID": given}).headers["X-Correlation-ID"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a\u00e9", "<script>", "a;b"])
def test_any_other_correlation_id_is_replaced(api: Client, given: str) -> None:
    sent = api.get("/api/health", headers={"X-Correlation-ID": given}).headers["X-Correlation-ID"]
    assert sent != given
    assert re.fullmatch(r"[0-9a-f]{32}", sent)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_the_frontend_may_send_each_method_and_header(api: Client, method: str) -> None:
    asked = "content-type,x-correlation-id,last-event-id,idempotency-key,cancel-after,cache-control,authorization"
    answer = api.options(
        "/api/characters",
        headers={
            "Origin": FRONTEND,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": asked,
        },
    )
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == FRONTEND
    assert method in answer.headers["Access-Control-Allow-Methods"]
    allowed = answer.headers["Access-Control-Allow-Headers"].split(", ")
    assert set(asked.split(",")) <= set(allowed)


@pytest.mark.parametrize("path", ["/api/characters", "/api/nothing", "/health"])
def test_answers_and_errors_let_the_frontend_read_its_headers(api: Client, path: str) -> None:
    answer = api.get(path, headers={"Origin": FRONTEND})
    assert answer.headers["Access-Control-Allow-Origin"] == FRONTEND
    exposed = answer.headers["Access-Control-Expose-Headers"]
    assert {name.strip() for name in exposed.split(",")} >= {"X-Correlation-ID", "X-Total-Count", "Retry-After"}


def test_a_foreign_page_may_not_read_answers(api: Client) -> None:
    assert "Access-Control-Allow-Origin" not in api.get("/api/characters", headers={"Origin": "http://evil.example"})


@pytest.mark.usefixtures("one_minute")
@pytest.mark.parametrize(("path", "limit"), [("/api/training", 5), ("/api/generation", 20)])
def test_the_contracts_rate_limits_count_refused_requests_too(api: Client, path: str, limit: int) -> None:
    answers = [api.post(path, "{}", content_type="application/json") for _ in range(limit + 1)]
    assert [answer.status_code for answer in answers] == [400] * limit + [429]
    seconds = int(answers[-1].headers["Retry-After"])
    assert answers[-1].json() == {"detail": f"Rate limit exceeded. Try again in {seconds} seconds."}
    assert 1 <= seconds <= 60


@pytest.mark.usefixtures("one_minute")
def test_uploads_have_a_limit_of_their_own(api: Client, character: Character) -> None:
    path = f"/api/characters/{character.pk}/images"
    answers = [api.post(path, {}).status_code for _ in range(31)]
    assert answers == [400] * 30 + [429]
    assert api.get(path).status_code == 200


def test_preflights_are_not_counted(api: Client) -> None:
    headers = {"Origin": FRONTEND, "Access-Control-Request-Method": "POST"}
    for _ in range(10):
        api.options("/api/training", headers=headers)
    assert api.post("/api/training", "{}", content_type="application/json").status_code == 400


def test_each_client_has_its_own_limit_behind_a_trusted_proxy(api: Client, settings) -> None:
    settings.TRUSTED_PROXIES = ("127.0.0.1",)
    for client in ("10.1.1.1", "10.1.1.2"):
        forwarded = {"X-Forwarded-For": f"1.2.3.4, {client}"}
        for _ in range(5):
            answer = api.post("/api/training", "{}", content_type="application/json", headers=forwarded)
            assert answer.status_code == 400


@pytest.mark.usefixtures("one_minute")
def test_nobody_else_can_choose_the_address_it_is_counted_by(api: Client) -> None:
    answers = [
        api.post("/api/training", "{}", content_type="application/json", headers={"X-Forwarded-For": f"10.0.0.{n}"})
        for n in range(6)
    ]
    assert answers[-1].status_code == 429


def test_without_redis_the_limits_let_through(api: Client, settings, monkeypatch) -> None:
    # Whoever comes next would find Redis left alone, and no limits.
    monkeypatch.setattr(writer, "_away_until", -math.inf)
    settings.CACHES = {
        "default": {**django_settings.CACHES["default"], "LOCATION": "unix:///nowhere/valkey.sock"},
    }
    answers = [api.post("/api/training", "{}", content_type="application/json") for _ in range(7)]
    assert {answer.status_code for answer in answers} == {400}


ENTRY = {
    "timestamp": "2025-01-15T10:30:00.000Z",
    "level": "ERROR",
    "message": "Button click failed",
    "event": "ui.error",
    "context": {"page": "/characters", "button": "create"},
}


def send(api: Client, *entries: object) -> object:
    return api.post("/api/client-logs", json.dumps({"entries": list(entries)}), content_type="application/json")


def test_client_logs_are_kept_in_ours(api: Client, caplog) -> None:
    answer = send(api, ENTRY)
    assert (answer.status_code, answer.content) == (204, b"")
    record = next(record for record in caplog.records if record.name == "client")
    assert (record.levelname, record.getMessage(), record.client_event) == ("ERROR", "Button click failed", "ui.error")
    assert record.client == ENTRY["context"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"level": "LOUD"}, "entries.1.level"),
        ({"timestamp": "yesterday"}, "entries.1.timestamp"),
        ({"timestamp": 5}, "entries.1.timestamp"),
        ({"message": 5}, "entries.1.message"),
        ({"message": "x" * 5001}, "entries.1.message"),
        ({"event": ["a"]}, "entries.1.event"),
        ({"context": "text"}, "entries.1.context"),
        ({"context": {str(n): n for n in range(300)}}, "entries.1.context"),
        ({"context": {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}}, "entries.1.context"),
        ({"surprise": 1}, "entries.1.surprise"),
    ],
)
def test_a_bad_entry_is_named_by_its_index(api: Client, change: dict, named: str) -> None:
    answer = send(api, ENTRY, ENTRY | change)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(f"{named}:")


def test_more_entries_than_the_limit_are_refused(api: Client) -> None:
    answer = send(api, *[ENTRY] * 101)
    assert (answer.status_code, "entries" in answer.json()["detail"]) == (400, True)


def test_the_front_page_says_what_this_is_and_where_things_are(api: Client) -> None:
    page = api.get("/").content.decode()
    for address in ("/api/docs", "/api/schema", "/admin/", "/health", "/ready", "/info"):
        assert f'href="{address}"' in page
