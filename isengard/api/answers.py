"""What the service says of itself, for the OpenAPI document."""

from rest_framework import serializers

MODES = ("fast-test", "production")


class HealthAnswer(serializers.Serializer[None]):
    status = serializers.ChoiceField(("healthy",))


class DependenciesAnswer(serializers.Serializer[None]):
    redis = serializers.ChoiceField(("ok", "unavailable"))
    storage = serializers.ChoiceField(("ok", "low", "full", "unavailable"))
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


class SupportAnswer(serializers.Serializer[None]):
    supported = serializers.BooleanField()
    reason = serializers.CharField(required=False, help_text="What is missing.")


class ToggleAnswer(SupportAnswer):
    models = serializers.DictField(child=SupportAnswer(), help_text="The same for each model.")
    control_types = serializers.DictField(
        child=serializers.DictField(child=SupportAnswer()),
        required=False,
        help_text="Of `use_controlnet`: the same for each `control_type`, by model.",
    )


class SampleSettingsAnswer(serializers.Serializer[None]):
    guidance_scale = serializers.FloatField()
    steps = serializers.IntegerField()


class BaseModelAnswer(serializers.Serializer[None]):
    title = serializers.CharField()
    family = serializers.CharField(help_text="Models of one family share their LoRAs.")
    architecture = serializers.CharField(help_text="As in the metadata of its LoRAs.")
    hub_id = serializers.CharField(help_text="Where it comes from, unless a local copy is there.")
    other_hub_ids = serializers.ListField(child=serializers.CharField(), help_text="What is loaded besides.")
    licence = serializers.CharField()
    gated = serializers.BooleanField(help_text="Whether its licence must be accepted on the hub, and a token be set.")
    is_local = serializers.BooleanField(help_text="Whether a whole copy lies below ISENGARD_MODELS_DIR.")
    memory_gb = serializers.IntegerField(help_text="GPU memory at rank 16, 1024 pixels and batch 1, about.")
    ignored_parameters = serializers.DictField(
        child=serializers.CharField(), help_text="Parameters without effect here, each with the reason."
    )
    unusable_values = serializers.DictField(
        child=serializers.ListField(child=serializers.JSONField()), help_text="Values that are refused here."
    )
    defaults = serializers.DictField(
        child=serializers.JSONField(), help_text="Where they differ; a parameter's name stands for its value."
    )
    samples = SampleSettingsAnswer(help_text="How its samples are made.")


class TrainingOffers(serializers.Serializer[None]):
    method = serializers.ChoiceField(("lora",))
    backend = serializers.ChoiceField(("ai-toolkit",))
    parameters = serializers.DictField(child=ParameterAnswer())
    presets = serializers.DictField(child=serializers.DictField(child=serializers.IntegerField()))
    base_models = serializers.DictField(child=BaseModelAnswer())


class GeneratingModelAnswer(serializers.Serializer[None]):
    title = serializers.CharField()
    family = serializers.CharField(help_text="Models of one family share their LoRAs.")
    licence = serializers.CharField()
    available = serializers.BooleanField(help_text="Whether a server has what it needs.")
    missing = serializers.ListField(child=serializers.CharField())
    reason = serializers.CharField(required=False, help_text="Why it is not available.")
    defaults = serializers.DictField(child=serializers.FloatField(), help_text="What omitted parameters are.")


class GenerationPresetAnswer(serializers.Serializer[None]):
    title = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    config = serializers.DictField(child=serializers.JSONField(), help_text="What it sets; a request goes before it.")
    models = serializers.DictField(
        child=serializers.DictField(child=serializers.JSONField()), help_text="What it sets besides for one model."
    )
    available = serializers.BooleanField()
    reason = serializers.CharField(required=False, help_text="What is wrong with its file.")


class WorkflowAnswer(serializers.Serializer[None]):
    title = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    base_model = serializers.CharField(allow_null=True, help_text="Null where only the workflow knows.")
    parameters = serializers.ListField(child=serializers.CharField(), help_text="What may be given beside it.")
    images = serializers.ListField(child=serializers.CharField(), help_text="Those of them that must be given.")
    max_loras = serializers.IntegerField(min_value=0)
    available = serializers.BooleanField(help_text="Whether a server has what it needs.")
    missing = serializers.ListField(child=serializers.CharField())
    reason = serializers.CharField(required=False, help_text="Why it is not available.")


class GenerationOffers(serializers.Serializer[None]):
    backend = serializers.ChoiceField(("comfyui",))
    model_variants = serializers.ListField(
        child=serializers.CharField(), help_text="The contract's two, and every other model that is available."
    )
    models = serializers.DictField(child=GeneratingModelAnswer(), help_text="Every model that Isengard knows.")
    toggles = serializers.DictField(child=ToggleAnswer())
    parameters = serializers.DictField(child=ParameterAnswer())
    presets = serializers.DictField(child=GenerationPresetAnswer(), help_text="What `preset_name` may be.")
    workflows = serializers.DictField(
        child=WorkflowAnswer(), help_text="The operator's own; config.workflow names one."
    )
    stale = serializers.BooleanField(help_text="True while every server is down: this is what they said before.")
    reason = serializers.CharField(required=False, help_text="How old it is, while it is stale.")


class StorageOffers(serializers.Serializer[None]):
    free_bytes = serializers.IntegerField(allow_null=True, help_text="Null where nobody can tell.")
    min_free_bytes = serializers.IntegerField(help_text="Uploads that would leave less are refused, and jobs wait.")


class QueueOffers(serializers.Serializer[None]):
    limit = serializers.IntegerField(
        min_value=1, allow_null=True, help_text="How many jobs of a kind may wait; a further one gets 503. Null: any."
    )


class InfoAnswer(serializers.Serializer[None]):
    name = serializers.CharField()
    version = serializers.CharField()
    mode = serializers.ChoiceField(MODES)
    training = TrainingOffers()
    image_generation = GenerationOffers()
    storage = StorageOffers()
    queue = QueueOffers()
