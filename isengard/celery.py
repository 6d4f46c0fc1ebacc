"""The Celery application: `celery -A isengard worker …`."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "isengard.settings")
app = Celery("isengard")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
