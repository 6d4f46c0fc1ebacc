"""Pydantic models as components: parameters come from where they are declared, with range, default and description."""

from typing import TYPE_CHECKING, Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.plumbing import ResolvedComponent

from training.params import TrainingParams

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema
    from drf_spectacular.utils import Direction

# In an answer every parameter is there, in a request none has to be: two components, as the frontend calls them.
CONFIG_NAMES = {
    "TrainingParams": "TrainingConfig",
    "GenerationParams": "GenerationConfig",
    "LoraChoice": "LoraChoice",
}
# Taken as it was sent, because a preset comes between it and its defaults; to a client it is the parameters.
LOOSE_CONFIGS = {"TrainingRequest": TrainingParams}
# The frontend's types have these as plain numbers and texts, which would not fit a union of the allowed values.
OPEN_IN_REQUESTS = ("lora_rank", "resolution", "batch_size", "optimizer", "scheduler", "precision")
REFERENCE = "#/components/schemas/"


class PydanticModel(OpenApiSerializerExtension):
    target_class = "pydantic.BaseModel"
    match_subclasses = True
    # Before the extension that comes with drf-spectacular.
    priority = 1

    def get_name(self, auto_schema: "AutoSchema", direction: "Direction") -> str:
        return component_name(self.target.__name__, direction)

    def map_serializer(self, auto_schema: "AutoSchema", direction: "Direction") -> dict[str, Any]:
        schema = self.target.model_json_schema(ref_template=REFERENCE + "{model}")
        parts = schema.pop("$defs", {})
        loose = LOOSE_CONFIGS.get(self.target.__name__)
        if loose is not None:
            parts[loose.__name__] = loose.model_json_schema(ref_template=REFERENCE + "{model}")
            config = schema["properties"]["config"]
            schema["properties"]["config"] = {
                "$ref": REFERENCE + loose.__name__,
                "description": config["description"],
            }
        for name, part in parts.items():
            _register(auto_schema, component_name(name, direction), polished(part, direction))
        return polished(schema, direction)


def component_name(model_name: str, direction: "Direction") -> str:
    if model_name not in CONFIG_NAMES:
        return model_name
    return CONFIG_NAMES[model_name] + ("Input" if direction == "request" else "")


def _register(auto_schema: "AutoSchema", name: str, schema: dict[str, Any]) -> None:
    component = ResolvedComponent(name=name, type=ResolvedComponent.SCHEMA, object=name, schema=schema)
    auto_schema.registry.register_on_missing(component)


def polished(schema: dict[str, Any], direction: "Direction") -> dict[str, Any]:
    """Return pydantic's schema of an object in the words of this API."""
    properties = {
        name: _property(name, described, direction) for name, described in schema.get("properties", {}).items()
    }
    required = list(properties) if direction == "response" else schema.get("required", [])
    whole = {key: value for key, value in schema.items() if key not in ("title", "properties", "required")}
    return whole | {"properties": properties} | ({"required": required} if required else {})


def _property(name: str, described: dict[str, Any], direction: "Direction") -> dict[str, Any]:
    known = {key: value for key, value in described.items() if key not in ("title", "wired", "reason")}
    if described.get("reason"):
        known["description"] = f"{described['description']} Has no effect: {described['reason']}"
    if direction == "request" and name in OPEN_IN_REQUESTS:
        # Every value is still checked against the list; but a type generator reads the wider type beside it.
        known["anyOf"] = [{"enum": known.pop("enum")}]
    if direction == "response":
        known.pop("default", None)
    renamed: dict[str, Any] = _renamed(known, direction)
    return renamed


def _renamed(part: Any, direction: "Direction") -> Any:
    if isinstance(part, dict):
        return {
            key: REFERENCE + component_name(str(value).removeprefix(REFERENCE), direction)
            if key == "$ref"
            else _renamed(value, direction)
            for key, value in part.items()
        }
    return [_renamed(value, direction) for value in part] if isinstance(part, list) else part
