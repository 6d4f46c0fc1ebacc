"""What runs left: files and log lines."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from jobs import readable
from jobs.admin import showing
from jobs.models import Artifact, JobLogLine


class ArtifactShown(showing.ReadOnly):
    @admin.display(description="Picture")
    def picture(self, artifact: Artifact) -> SafeString | str:
        return showing.thumbnail(artifact)

    @admin.display(description="Size", ordering="size_bytes")
    def file_size(self, artifact: Artifact) -> str:
        return readable.size(artifact.size_bytes)

    @admin.display(description="Age", ordering="-created_at")
    def age(self, artifact: Artifact) -> SafeString | str:
        return showing.age(artifact.created_at)

    @admin.display(description="Job", ordering="job")
    def job_link(self, artifact: Artifact) -> SafeString:
        return showing.link(artifact.job)

    @admin.display(description="Details")
    def pretty_details(self, artifact: Artifact) -> SafeString:
        return showing.pretty_json(artifact.details)


@admin.register(Artifact)
class ArtifactAdmin(ArtifactShown, ModelAdmin):
    list_display = ("name", "picture", "type", "job_link", "step", "file_size", "age")
    list_select_related = ("job",)
    list_filter = ("type", "job__kind")
    list_per_page = 50
    search_fields = ("name", "job__id", "job__character_id")
    date_hierarchy = "created_at"
    ordering = ("-created_at", "-id")
    fields = ("name", "picture", "type", "job_link", "step", "file_size", "key", "pretty_details", "created_at")
    readonly_fields = fields


@admin.register(JobLogLine)
class JobLogLineAdmin(showing.ReadOnly, ModelAdmin):
    """The lines that are still rows: those of live jobs. What has ended is in a file, shown on the job's own page."""

    list_display = ("moment", "coloured_level", "job_link", "event", "short_message")
    list_filter = ("level", "job__kind")
    search_fields = ("job__id", "event", "message")
    date_hierarchy = "timestamp"
    ordering = ("-id",)
    # Counting all lines only to say "1 of 300000" is not worth it.
    show_full_result_count = False
    fields = ("moment", "coloured_level", "job_link", "event", "message", "pretty_fields")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[JobLogLine]:
        lines: QuerySet[JobLogLine] = super().get_queryset(request)
        return lines.select_related("job")

    @admin.display(description="Time (UTC)", ordering="id")
    def moment(self, line: JobLogLine) -> str:
        return f"{line.timestamp:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="Level", ordering="level")
    def coloured_level(self, line: JobLogLine) -> SafeString:
        return showing.badge(line.level)

    @admin.display(description="Job", ordering="job")
    def job_link(self, line: JobLogLine) -> SafeString:
        return showing.link(line.job)

    @admin.display(description="Message")
    def short_message(self, line: JobLogLine) -> str:
        return readable.shortened(line.message, 160)

    @admin.display(description="Fields")
    def pretty_fields(self, line: Any) -> SafeString:
        return showing.pretty_json(line.fields)
