"""What the service says of itself, for the OpenAPI document."""

from rest_framework import serializers

MODES = ("fast-test", "production")


class HealthAnswer(serializers.Serializer[None]):
    status = serializers.ChoiceField(("healthy",))


class DependenciesAnswer(serializers.Serializer[None]):
    redis = serializers.ChoiceField(("ok", "unavailable"))
    storage = serializers.ChoiceField(("ok", "unavailable"))
    database = serializers.ChoiceField(("ok", "unavailable"))


class ReadyAnswer(serializers.Serializer[None]):
    status = serializers.ChoiceField(("ready",))
    mode = serializers.ChoiceField(MODES)
    dependencies = DependenciesAnswer()


class NotReadyAnswer(serializers.Serializer[None]):
    detail = serializers.CharField(help_text="What does not answer.")
    status = serializers.ChoiceField(("not ready",))
    mode = serializers.ChoiceField(MODES)
    dependencies = DependenciesAnswer()


class ParameterAnswer(serializers.Serializer[None]):
    type = serializers.ChoiceField(("int", "float", "bool", "string", "list", "enum"))
    min = serializers.FloatField(required=False)
    max = serializers.FloatField(required=False)
    min_length = serializers.IntegerField(required=False)
    max_length = serializers.IntegerField(required=False)
    options = serializers.ListField(child=serializers.JSONField(), required=False, help_text="The only values.")
    default = serializers.JSONField(required=False)
    # A field may be called what a serializer calls something of its own; DRF takes the fields out of the class.
    required = serializers.BooleanField(  # type: ignore[assignment]
        required=False, help_text="True where there is no default."
    )
    wired = serializers.BooleanField(help_text="Whether the engine acts on it.")
    description = serializers.CharField()
    reason = serializers.CharField(required=False, help_text="Why it is not wired.")


class ToggleAnswer(serializers.Serializer[None]):
    supported = serializers.BooleanField()
    reason = serializers.CharField(required=False, help_text="What is missing.")


class BaseModelAnswer(serializers.Serializer[None]):
    hub_id = serializers.CharField()
    licence = serializers.CharField()


class TrainingOffers(serializers.Serializer[None]):
    method = serializers.ChoiceField(("lora",))
    backend = serializers.ChoiceField(("ai-toolkit",))
    parameters = serializers.DictField(child=ParameterAnswer())
    presets = serializers.DictField(child=serializers.DictField(child=serializers.IntegerField()))
    base_models = serializers.DictField(child=BaseModelAnswer())


class GenerationOffers(serializers.Serializer[None]):
    backend = serializers.ChoiceField(("comfyui",))
    model_variants = serializers.ListField(child=serializers.CharField())
    toggles = serializers.DictField(child=ToggleAnswer())
    parameters = serializers.DictField(child=ParameterAnswer())


class InfoAnswer(serializers.Serializer[None]):
    name = serializers.CharField()
    version = serializers.CharField()
    mode = serializers.ChoiceField(MODES)
    training = TrainingOffers()
    image_generation = GenerationOffers()
