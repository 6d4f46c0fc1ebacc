from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "jobs"
    verbose_name = "Jobs"

    def ready(self) -> None:
        # Connects the worker's own start and stop to Celery's signals.
        from jobs import worker  # noqa: F401
