"""What operators see and do. A machine writes these rows, so nearly all of it can only be looked at."""

from jobs.admin import files, job, places, queues, requests

__all__ = ["files", "job", "places", "queues", "requests"]
