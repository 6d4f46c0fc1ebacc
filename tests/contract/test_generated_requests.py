"""Requests that schemathesis makes from the OpenAPI document, good and bad: what it says is what happens."""

import unicodedata

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, settings
from schemathesis import Case, GenerationMode, Response
from schemathesis.specs.openapi.checks import positive_data_acceptance

from characters.models import Character, Lora
from isengard.api.schema.views import document
from jobs.models import Job

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_no_limits", "patient_redis")]

FROM_THE_DOCUMENT = 12
STORIES, STEPS_OF_A_STORY = 8, 10
# A stream of a job that lives does not end; what answers without one is in the tests of hostile requests.
STREAMS = "/stream$"
# Whether bytes are a picture, a LoRA or a ZIP file is more than a schema can say.
FILES = ("uploadCharacterImages", "importCharacterImages", "uploadLora", "uploadGenerationImage")
ACCEPTANCE = [positive_data_acceptance]
TOGGLES = ("use_controlnet", "use_ipadapter", "use_facedetailer", "use_upscale")
# Whether a text with choices in it can be written out is more than a schema can say too.
SWITCHES = (*TOGGLES, "dynamic_prompts")
IMAGES = ("init_image", "control_image", "reference_image")
# Whether a time lies ahead, whether header and body agree, and what the operator has, no schema says either.
OF_THE_DAY, DEADLINE = ("start_after", "deadline_seconds", "preset_name", "workflow"), "Cancel-After"

# Not isengard.wsgi's: that one makes its process a server, for which the database of the tests would have to be there.
application = get_wsgi_application()


def closing_application(environ: dict, start_response: object) -> list[bytes]:
    """Serve as a web server does, which closes an answer when it is sent."""
    answer = application(environ, start_response)
    try:
        return list(answer)
    finally:
        answer.close()


schema = schemathesis.openapi.from_wsgi("/api/schema", closing_application)
# NUL characters are refused in every text, which no schema repeats; the table of hostile fields has them.
schema.config.generation.update(modes=list(GenerationMode), deterministic=True, allow_x00=False)
bounded = settings(
    max_examples=FROM_THE_DOCUMENT,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def _no_limits(settings) -> None:
    settings.RATE_LIMITS = "off"


@schema.exclude(path_regex=STREAMS).parametrize()
@bounded
def test_an_operation_does_what_its_description_says(case: Case) -> None:
    away_from_other_addresses(case)
    if case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE:
        complete(case)
    elif is_only_long_by_space(case.body):
        return
    is_about_files = case.operation.definition.raw["operationId"] in FILES
    case.call_and_validate(excluded_checks=ACCEPTANCE if is_about_files else [])


def away_from_other_addresses(case: Case) -> None:
    """Keep an id from being a word that makes its path another address: `images`, where jobs are.

    Hypothesis takes such words from whatever modules of ours are loaded, so that it is a matter of luck.
    """
    if case.path_parameters and case.formatted_path in document()["paths"]:
        for name, value in case.path_parameters.items():
            case.path_parameters[name] = f"{value}-"


def complete(case: Case) -> None:
    case.headers.pop(DEADLINE, None)
    if case.media_type == "application/json":
        case.body = beyond_schemas(case.body)


def beyond_schemas(value: object, name: str = "") -> object:
    """Return a good body with what a schema cannot say: 2.0 is no integer here, symbols are no letters, and what the
    engine can do is a matter of the day."""
    if isinstance(value, dict):
        return {key: beyond_schemas(part, key) for key, part in value.items()}
    if isinstance(value, list):
        return [beyond_schemas(part) for part in value]
    if name in SWITCHES:
        return False
    if name in OF_THE_DAY:
        return None
    if name in IMAGES or name == "model_variant":
        return "flux-dev" if name == "model_variant" else None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return letters(value) if name == "trigger_word" and isinstance(value, str) else value


def letters(text: str) -> str:
    return "".join(
        character if character in "_- " or unicodedata.category(character).startswith(("L", "Nd")) else "x"
        for character in text
    )


def is_only_long_by_space(body: object) -> bool:
    # White space around a text is taken away before the text is measured.
    texts = body.values() if isinstance(body, dict) else []
    return any(isinstance(text, str) and text.strip() != text for text in texts)


class Stories(schema.exclude(path_regex=STREAMS).as_state_machine()):
    """Follows the links of the document: what was made is read, changed, deleted, and gone."""

    def setup(self) -> None:
        # Every story begins with nothing, so that hypothesis can tell it again.
        for model in (Job, Lora, Character):
            model.objects.all().delete()

    def before_call(self, case: Case) -> None:
        away_from_other_addresses(case)
        complete(case)

    def validate_response(self, response: Response, case: Case, **_: object) -> None:
        # What was right before may be refused now: a job is cancelled once.
        case.validate_response(response, excluded_checks=ACCEPTANCE, recorder=self.recorder)


TestStories = Stories.TestCase
TestStories.settings = settings(bounded, max_examples=STORIES, stateful_step_count=STEPS_OF_A_STORY)
