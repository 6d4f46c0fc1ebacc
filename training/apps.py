from django.apps import AppConfig


class TrainingConfig(AppConfig):
    name = "training"
    verbose_name = "Training"

    def ready(self) -> None:
        from jobs import kinds
        from training.kind import TrainingKind

        kinds.register(TrainingKind())
