from django.apps import AppConfig


class GenerationConfig(AppConfig):
    name = "generation"
    verbose_name = "Generation"

    def ready(self) -> None:
        from generation.kind import GenerationKind
        from jobs import kinds

        kinds.register(GenerationKind())
