"""What the views of every kind of job share."""

from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request

from jobs.cancelling import NotCancellable, cancel_job
from jobs.models import Job

MAX_QUERY_LENGTH = 200


def find_job(job_id: str, kind: str | None = None) -> Job:
    """Return the job, of any kind where none is named. Raises NotFound."""
    rows = Job.objects.all() if kind is None else Job.objects.filter(kind=kind)
    job = rows.filter(pk=job_id).first()
    if job is None:
        raise NotFound(f"Job {job_id} not found")
    return job


def cancel_or_refuse(job: Job) -> Job:
    """Cancel, or raise ValidationError with the state that the job ended in."""
    try:
        return cancel_job(job)
    except NotCancellable as exc:
        raise ValidationError(str(exc)) from exc


def query_text(request: Request, name: str) -> str:
    text = request.query_params[name]
    if len(text) > MAX_QUERY_LENGTH or "\x00" in text:
        raise ValidationError({name: f"must be at most {MAX_QUERY_LENGTH} characters, without NUL."})
    return text


def correlation_id_of(request: Request) -> str:
    return str(getattr(request, "correlation_id", ""))
