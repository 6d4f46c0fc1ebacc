from django.apps import AppConfig


class IsengardConfig(AppConfig):
    name = "isengard"
    verbose_name = "Isengard"

    def ready(self) -> None:
        # Celery's default application must be ours in every process that rings a doorbell.
        from isengard import celery, checks, composition  # noqa: F401
        from isengard.cockpit import roles

        composition.compose()
        roles.connect()
