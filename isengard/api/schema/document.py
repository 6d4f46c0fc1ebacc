"""What the OpenAPI document says of the API as a whole. Importable without Django, because the settings import it."""

from typing import Any

from isengard.api.schema.errors import RESPONSES
from isengard.api.schema.headers import HEADERS, PARAMETERS

DESCRIPTION = """\
Train identity LoRAs from a character's photos, and generate images with them.

* Every error is `{"detail": "<one sentence that names the field and the limit>"}`.
* Every answer carries `X-Correlation-ID`: quote it when something went wrong.
* Times are UTC, with milliseconds and `Z`. Lists are newest first, and `X-Total-Count` counts all there are.
* Types for TypeScript: `npx openapi-typescript <this server>/api/schema --default-non-nullable false`. Without that
  option it would ask a request for every parameter that has a default.
"""

TAGS = [
    {"name": "characters", "description": "Who: a person, their photos, and the word that calls them."},
    {"name": "training", "description": "Trainings turn a character's photos into a LoRA."},
    {"name": "loras", "description": "The LoRAs there are, trained here or uploaded."},
    {"name": "generation", "description": "Images, with or without a LoRA."},
    {"name": "jobs", "description": "What trainings and generations have in common: streams, logs and files."},
    {"name": "service", "description": "Health, capabilities, client logs and this document."},
]
SERVERS = [
    {"url": "/", "description": "The server that this document came from."},
    {"url": "http://localhost:8000", "description": "Development"},
    {"url": "https://api.isengard.app", "description": "Production"},
]
SWAGGER_UI = {
    "deepLinking": True,
    "displayRequestDuration": True,
    "docExpansion": "list",
    "filter": True,
    # Swagger UI would ask a validator on the internet about the document.
    "validatorUrl": None,
}


def spectacular_settings(*, version: str) -> dict[str, Any]:
    """Return drf-spectacular's settings."""
    return {
        "TITLE": "Isengard API",
        "VERSION": version,
        "DESCRIPTION": DESCRIPTION,
        # The first OpenAPI whose schemas are JSON Schema, which is what pydantic writes.
        "OAS_VERSION": "3.1.0",
        "TAGS": TAGS,
        "SERVERS": SERVERS,
        "SCHEMA_PATH_PREFIX": "/api",
        "SERVE_INCLUDE_SCHEMA": False,
        "SWAGGER_UI_DIST": "SIDECAR",
        "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
        "SWAGGER_UI_SETTINGS": SWAGGER_UI,
        "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
        "APPEND_COMPONENTS": {"responses": RESPONSES, "headers": HEADERS, "parameters": PARAMETERS},
        "PREPROCESSING_HOOKS": ["isengard.api.schema.streams.add_streams"],
        # The values of an enum stand where they apply: components for them would take made-up names.
        "POSTPROCESSING_HOOKS": [
            "drf_spectacular.hooks.postprocess_schema_enum_id_removal",
            "isengard.api.schema.examples.add_examples",
            "isengard.api.schema.links.add_links",
        ],
    }
