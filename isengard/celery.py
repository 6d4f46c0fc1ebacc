"""The Celery application: `celery -A isengard worker …`."""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_init

from isengard.databases.serving import WORKER_SECONDS, serve_with_patience

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "isengard.settings")
app = Celery("isengard")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def _wait_as_a_worker(**_: Any) -> None:
    serve_with_patience(WORKER_SECONDS)
