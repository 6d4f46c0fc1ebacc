"""Requests that were named by their clients, so that a repeat starts nothing twice."""

from django.contrib import admin
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from jobs.admin import showing
from jobs.models import IdempotencyKey


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(showing.ReadOnly, ModelAdmin):
    list_display = ("key", "scope", "job_link", "age")
    list_select_related = ("job",)
    search_fields = ("key", "scope", "job__id")
    date_hierarchy = "created_at"
    ordering = ("-created_at", "-id")
    fields = ("key", "scope", "job_link", "fingerprint", "created_at")
    readonly_fields = fields

    @admin.display(description="Job", ordering="job")
    def job_link(self, row: IdempotencyKey) -> SafeString:
        return showing.link(row.job)

    @admin.display(description="Age", ordering="-created_at")
    def age(self, row: IdempotencyKey) -> SafeString | str:
        return showing.age(row.created_at)
