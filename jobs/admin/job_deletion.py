"""Deleting jobs with their files: what goes and what stays is said before anything is done."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from jobs import readable
from jobs.admin.job_actions import SHOWN_JOBS, JobActionsAdmin, is_confirmed
from jobs.deleting import NotDeletable, delete_job
from jobs.models import Artifact, Job
from jobs.resume_points import heirs_of_checkpoints


@dataclass(frozen=True, slots=True)
class Going:
    """A job that can be deleted, and the files it published."""

    job: Job
    count: int
    size_bytes: int

    @property
    def files(self) -> str:
        return f"{_counted(self.count, 'file')} ({readable.size(self.size_bytes)})" if self.count else "no files"


class JobDeletionAdmin(JobActionsAdmin):
    # Takes the place of the stock action, which refuses all where one cannot go.
    actions = (*JobActionsAdmin.actions, "delete_selected")

    @admin.action(description="Delete with files…", permissions=["delete"])
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        """Ask first. Those that cannot go stay, and the others go."""
        jobs = list(queryset)
        going, staying = _sorted_out(jobs)
        if is_confirmed(request) and going:
            self._delete(request, [each.job for each in going], staying)
            return None
        context = {
            "title": "Delete jobs with their files",
            "going": going[:SHOWN_JOBS],
            "going_count": len(going),
            "more_going": max(0, len(going) - SHOWN_JOBS),
            "staying": staying,
            "file_count": sum(each.count for each in going),
            "size": readable.size(sum(each.size_bytes for each in going)),
        }
        # What is said to stay is not sent: it stays even if it could go by then.
        named = [each.job for each in going]
        return self.ask(request, named, "admin/jobs/job/delete_selected.html", context)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[Any, Any], set[Any], list[Any]]:
        """Sum up for a job's own delete page what goes with it."""
        going, staying = _sorted_out(list(objs))
        lacking = set() if super().has_delete_permission(request) else {"job"}
        listed = [f"Job {each.job.pk} with its log and {each.files}" for each in going]
        size = readable.size(sum(each.size_bytes for each in going))
        counts = {"jobs": len(going), "files": f"{sum(each.count for each in going)} ({size})"}
        return listed, counts, lacking, staying

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            response: HttpResponse = super().delete_view(request, object_id, extra_context)
        except NotDeletable as exc:
            # It changed between the look at it and the deletion.
            self.message_user(request, str(exc), messages.WARNING)
            return HttpResponseRedirect(reverse("admin:jobs_job_change", args=[quote(unquote(object_id))]))
        return response

    def delete_model(self, request: HttpRequest, obj: Job) -> None:
        delete_job(obj.pk)

    def _delete(self, request: HttpRequest, jobs: Sequence[Job], staying: Sequence[str]) -> None:
        deleted, refused = [], list(staying)
        for job in jobs:
            try:
                delete_job(job.pk)
            except NotDeletable as exc:
                refused.append(str(exc))
            except Job.DoesNotExist:
                # Somebody else was quicker.
                continue
            else:
                deleted.append(job)
                self.log_deletions(request, [job])
        self.report(request, len(deleted), "deleted, with logs and files", refused)


def _sorted_out(jobs: Sequence[Job]) -> tuple[list[Going], list[str]]:
    """Return those that can be deleted, and of the others why not, from a number of queries that is always the same."""
    heirs = heirs_of_checkpoints()
    files = _files_of(jobs)
    going, staying = [], []
    for job in jobs:
        if not job.is_terminal or job.holder is not None:
            staying.append(f"{job.pk}, which is {job.status}{' and whose engine is not gone yet' * job.is_terminal}")
        elif job.pk in heirs:
            staying.append(f"{job.pk}, from whose checkpoint {heirs[job.pk]} goes on")
        else:
            going.append(Going(job, *files.get(job.pk, (0, 0))))
    return going, staying


def _files_of(jobs: Sequence[Job]) -> dict[str, tuple[int, int]]:
    """Return how many files each job published, and their bytes."""
    rows: Any = Artifact.objects.filter(job__in=[job.pk for job in jobs]).order_by().values("job_id")
    counted = rows.annotate(count=Count("pk"), size_bytes=Sum("size_bytes"))
    return {row["job_id"]: (row["count"], row["size_bytes"]) for row in counted}


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
