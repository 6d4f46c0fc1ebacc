"""The OpenAPI document: complete, valid, and true of what the code declares."""

import json
import re
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from django.core.management import call_command
from django.test import Client

from generation.params import GenerationParams
from isengard.api.schema.document import TAGS
from isengard.api.schema.views import document
from jobs.models import Job, Status
from jobs.payloads import complete_payload, progress_payload
from tests.contract.openapi import Operation, complaints, operation, operations, resolved, routes
from training.params import TrainingParams

SNAPSHOT = Path(__file__).with_name("openapi.json")
RENEW = "make openapi"
NOT_DESCRIBED = {"/", "/favicon.ico", "/api/docs"}
RANGES = ("minimum", "maximum", "minLength", "maxLength", "maxItems", "enum", "const", "pattern")

each_operation = pytest.mark.parametrize("described", operations(), ids=lambda described: described.id)


def test_the_document_is_valid_and_made_without_a_warning(tmp_path: Path) -> None:
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yaml"))


def test_changes_of_the_document_are_seen_in_review() -> None:
    kept = json.loads(SNAPSHOT.read_text())
    assert kept == json.loads(json.dumps(document())), f"If the change is meant, renew the snapshot: {RENEW}"


def test_every_route_is_described() -> None:
    for_programs = {address for address in routes() if not address.startswith("/admin/")}
    assert for_programs - NOT_DESCRIBED == set(document()["paths"])


def test_every_operation_has_a_name_of_its_own_that_a_client_can_use() -> None:
    names = [described.id for described in operations()]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z]+([A-Z][a-z]+)+", name)] == []


@each_operation
def test_an_operation_is_filed_and_summed_up(described: Operation) -> None:
    assert described.described["summary"]
    assert described.described["tags"]
    assert set(described.described["tags"]) <= {tag["name"] for tag in TAGS}


@each_operation
def test_every_parameter_and_every_answer_is_described(described: Operation) -> None:
    for parameter in map(resolved, described.described["parameters"]):
        assert parameter["description"], parameter["name"]
        assert parameter["schema"], parameter["name"]
    assert all(response["description"] is not None for response in described.responses().values())


@each_operation
def test_every_answer_carries_the_correlation_id(described: Operation) -> None:
    assert [
        status for status, response in described.responses().items() if "X-Correlation-ID" not in response["headers"]
    ] == []


@each_operation
def test_every_error_is_one_sentence(described: Operation) -> None:
    errors = {status: response for status, response in described.responses().items() if int(status) >= 400}
    assert {"400", "405", "500", "503"} <= set(errors)
    assert ("404" in errors) >= ("{" in described.path)
    for status, response in errors.items():
        schema = resolved(response["content"]["application/json"]["schema"])
        assert schema["properties"]["detail"]["type"] == "string", status
        assert "detail" in schema["required"], status


@each_operation
def test_an_operation_with_a_body_can_refuse_it(described: Operation) -> None:
    assert ("requestBody" in described.described) == ({"413", "415"} <= set(described.responses()))


@pytest.mark.parametrize(
    "operation_id", ["startTraining", "startGeneration", "uploadCharacterImages", "sendClientLogs"]
)
def test_what_is_limited_says_how_long_to_wait(operation_id: str) -> None:
    assert "Retry-After" in operation(operation_id).responses()["429"]["headers"]


@pytest.mark.parametrize("operation_id", ["listCharacters", "listTrainings", "listGenerations"])
def test_lists_tell_how_many_there_are_and_their_limits(operation_id: str) -> None:
    described = operation(operation_id)
    assert "X-Total-Count" in described.responses()["200"]["headers"]
    limit = next(parameter for parameter in described.parameters("query") if parameter["name"] == "limit")
    assert (limit["schema"]["minimum"], limit["schema"]["maximum"]) == (1, 100)


@pytest.mark.parametrize(
    ("model", "component"), [(TrainingParams, "TrainingConfigInput"), (GenerationParams, "GenerationConfigInput")]
)
def test_every_parameter_has_the_range_default_and_description_of_its_declaration(model: type, component: str) -> None:
    declared = model.model_json_schema()["properties"]
    described = document()["components"]["schemas"][component]["properties"]
    assert set(described) == set(declared)
    for name, parameter in declared.items():
        assert described[name]["description"].startswith(parameter["description"]), name
        assert described[name].get("default", ...) == parameter.get("default", ...), name
        assert _limits(described[name]) == _limits(parameter), name


def _limits(schema: dict) -> list[tuple[str, object]]:
    """Return every range in a schema, wherever it stands."""
    own = [(word, repr(schema[word])) for word in RANGES if word in schema]
    branches = [*schema.get("anyOf", []), *schema.get("oneOf", []), schema.get("items")]
    return sorted(own + [limit for branch in branches if branch for limit in _limits(branch)])


@pytest.mark.parametrize("component", ["TrainingConfig", "GenerationConfig"])
def test_an_answered_config_has_every_parameter(component: str) -> None:
    schema = document()["components"]["schemas"][component]
    assert set(schema["required"]) == set(schema["properties"])


def test_a_request_may_leave_out_every_training_parameter_and_all_but_the_prompt_of_a_generation() -> None:
    schemas = document()["components"]["schemas"]
    assert schemas["TrainingConfigInput"].get("required", []) == []
    assert schemas["GenerationConfigInput"]["required"] == ["prompt"]


@pytest.mark.parametrize("value", [4, 128])
def test_a_choice_that_types_do_not_close_is_still_closed_to_validators(value: int) -> None:
    schema = {"$ref": "#/components/schemas/TrainingConfigInput"}
    assert complaints({"lora_rank": value}, schema) == []
    assert complaints({"lora_rank": value + 1}, schema)
    assert complaints({"optimizer": "sgd"}, schema)


@each_operation
def test_the_examples_are_valid(described: Operation) -> None:
    bodies = [described.described.get("requestBody", {}), *described.responses().values()]
    for content in [content for body in bodies for content in body.get("content", {}).values()]:
        if "example" in content:
            assert complaints(content["example"], content["schema"]) == []


@pytest.mark.parametrize(
    "operation_id", ["createCharacter", "startTraining", "startGeneration", "sendClientLogs", "getTraining"]
)
def test_the_contracts_examples_are_shown(operation_id: str) -> None:
    described = operation(operation_id)
    bodies = [described.described.get("requestBody", {}), *described.responses().values()]
    assert any("example" in content for body in bodies for content in body.get("content", {}).values())


def test_every_link_leads_to_an_operation_that_takes_what_it_brings() -> None:
    links = [
        link
        for described in operations()
        for response in described.responses().values()
        for link in response.get("links", {}).values()
    ]
    assert links
    for link in links:
        target = operation(link["operationId"])
        taken = {parameter["name"] for parameter in [*target.parameters("path"), *target.parameters("query")]}
        assert set(link["parameters"]) <= taken, link


RUNNING = {"current_step": 10, "current_loss": 0.5, "learning_rate": 0.0001, "iteration_speed": 1.5, "eta_seconds": 3.0}


def job(status: Status, **fields) -> Job:
    return Job(id="train-1", kind="training", status=status, total_steps=1000, **fields)


def assert_fits(told: dict, component: str) -> None:
    """Assert that an event is as the component says, and has nothing that the component does not name."""
    assert complaints(json.loads(json.dumps(told)), {"$ref": f"#/components/schemas/{component}"}) == []
    assert set(told) <= set(document()["components"]["schemas"][component]["properties"])


@pytest.mark.parametrize("told", [job(Status.QUEUED), job(Status.RUNNING, **RUNNING)], ids=["waiting", "running"])
def test_what_streams_tell_is_what_the_document_says(told: Job) -> None:
    assert_fits(progress_payload(told), "ProgressEvent")


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.CANCELLED])
def test_how_streams_end_is_what_the_document_says(status: Status) -> None:
    assert_fits(complete_payload(job(status, stage=str(status), error_message="out of memory")), "CompleteEvent")


@pytest.mark.parametrize(
    ("query", "accept", "content_type"),
    [
        ("", "*/*", "application/json"),
        ("", "text/html", "application/json"),
        ("?format=json", "application/yaml", "application/json"),
        ("", "application/yaml", "application/yaml"),
        ("?format=yaml", "application/json", "application/yaml"),
    ],
)
def test_the_document_is_json_unless_yaml_is_asked_for(api: Client, query: str, accept: str, content_type: str) -> None:
    answer = api.get(f"/api/schema{query}", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (200, content_type)
    read = json.loads if content_type == "application/json" else yaml.safe_load
    assert read(answer.content) == json.loads(json.dumps(document()))


def test_another_format_is_refused_by_name(api: Client) -> None:
    answer = api.get("/api/schema?format=xml")
    assert (answer.status_code, answer.json()) == (400, {"detail": "format: must be json or yaml."})


@pytest.mark.django_db
def test_the_docs_page_has_no_inline_code_and_a_policy_against_it(api: Client) -> None:
    page = api.get("/api/docs")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";"))
    assert (policy["default-src"], policy["script-src"], policy["style-src"]) == ("'none'", "'self'", "'self'")
    html = page.content.decode()
    assert re.findall(r"<script(?![^>]*src=)|<style| on\w+=|https?://", html) == []
    for address in re.findall(r'(?:src|href)="([^"]+)"', html):
        with closing(api.get(address.replace("&amp;", "&"))) as answer:
            assert answer.status_code == 200, address
