"""Where jobs run: slots and GPUs."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, IntegerField, OuterRef, Prefetch, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from jobs import draining, gpus, readable, slots
from jobs.admin import showing
from jobs.admin.acting import ActingAdmin, Button, NothingToDo
from jobs.models import GpuLease, Job, Slot

DRAIN = Button("drain", "Drain", "Start nothing more here; what runs is saved and goes back to the queue.")
DRAIN_GENTLY = Button("finish", "Drain when done", "Start nothing more here; what runs comes to its end.")
HURRY = Button("drain", "Save and leave now", "What still runs here is saved and goes back to the queue.")
RESUME = Button("resume", "Resume", "Take work again.")


@admin.register(Slot)
class SlotAdmin(showing.ReadOnly, ActingAdmin):
    list_display = ("name", "kind", "state", "heartbeat_age", "load", "gpu", "short_engine", "engine_state")
    list_select_related = ("gpu",)
    list_filter = ("kind", "gpu__host")
    actions = ("drain_selected", "finish_selected", "resume_selected")
    search_fields = ("name", "engine", "gpu__host")
    ordering = ("name",)
    fields = (
        *("name", "kind", "state", "heartbeat_age", "heartbeat_at", "jobs", "capacity", "gpu"),
        *("engine", "engine_state", "loaded", "process"),
    )
    readonly_fields = fields

    @admin.action(description="Drain: what runs is saved and goes back to the queue", permissions=["operate"])
    def drain_selected(self, request: HttpRequest, queryset: QuerySet[Slot]) -> None:
        self._do_all(request, queryset, "drain")

    @admin.action(description="Drain when done: what runs comes to its end", permissions=["operate"])
    def finish_selected(self, request: HttpRequest, queryset: QuerySet[Slot]) -> None:
        self._do_all(request, queryset, "finish")

    @admin.action(description="Resume: take work again", permissions=["operate"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Slot]) -> None:
        self._do_all(request, queryset, "resume")

    def _do_all(self, request: HttpRequest, slots: QuerySet[Slot], verb: str) -> None:
        for slot in slots:
            self.do(request, verb, slot)

    def buttons(self, row: Any) -> list[Button]:
        if not row.drained_since:
            return [DRAIN, DRAIN_GENTLY]
        return [RESUME, HURRY] if row.held_count else [RESUME]

    def press(self, verb: str, row: Any) -> str:
        return {"drain": _drain, "finish": _drain_gently, "resume": _resume}[verb](row)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Slot]:
        held = Job.objects.held().filter(slot=OuterRef("name")).order_by().values("slot")
        counted = Subquery(held.annotate(total=Count("pk")).values("total"), IntegerField())
        slots: QuerySet[Slot] = super().get_queryset(request)
        return slots.annotate(held_count=Coalesce(counted, 0))

    def has_delete_permission(self, request: HttpRequest, obj: Slot | None = None) -> bool:
        """A slot that nobody serves any more may go; its worker registers it again when it starts."""
        may_delete = request.user.has_perm("jobs.delete_slot")
        return may_delete and (obj is None or (not obj.is_served() and not _held_on(obj).exists()))

    @admin.display(description="State")
    def state(self, slot: Slot) -> SafeString:
        served = showing.badge("served" if slot.is_served() else "silent")
        return format_html("{} {}", served, showing.badge("drained")) if slot.drained_since else served

    @admin.display(description="Heard of", ordering="-heartbeat_at")
    def heartbeat_age(self, slot: Slot) -> SafeString | str:
        return showing.age(slot.heartbeat_at)

    @admin.display(description="Jobs", ordering="held_count")
    def load(self, slot: Any) -> SafeString:
        return showing.list_link(Job, f"{slot.held_count} of {slot.capacity}", slot=slot.name)

    @admin.display(description="Engine", ordering="engine")
    def short_engine(self, slot: Slot) -> str:
        return readable.shortened(slot.engine, 60)

    @admin.display(description="Engine's state")
    def engine_state(self, slot: Slot) -> str:
        return slots.trouble_of(slot) or readable.NOTHING

    @admin.display(description="Jobs")
    def jobs(self, slot: Slot) -> SafeString | str:
        return showing.links(_held_on(slot))

    @admin.display(description="Served by")
    def process(self, slot: Slot) -> SafeString:
        return showing.pretty_json(slot.worker)


def _held_on(slot: Slot) -> QuerySet[Job]:
    return Job.objects.held().filter(slot=slot.name)


def _drain(slot: Slot) -> str:
    # Also one that is drained already: what was let finish may be asked to leave after all.
    if slot.drained_since and not _held_on(slot).exists():
        raise NothingToDo(f"{slot.name} is drained already, and nothing is at work there.")
    draining.drain([slot.name])
    return "Drained: what runs here is saved and goes back to the queue."


def _drain_gently(slot: Slot) -> str:
    if slot.drained_since:
        raise NothingToDo(f"{slot.name} is drained already.")
    draining.drain([slot.name], lets_finish=True)
    return "Drained: what runs here comes to its end, and nothing more starts."


def _resume(slot: Slot) -> str:
    if not slot.drained_since:
        raise NothingToDo(f"{slot.name} takes work already.")
    draining.resume([slot.name])
    return "Takes work again."


@admin.register(GpuLease)
class GpuLeaseAdmin(showing.ReadOnly, ModelAdmin):
    list_display = ("__str__", "holders", "slot_links")
    list_filter = ("host",)
    search_fields = ("host", "gpu", "slots__name")
    ordering = ("host", "gpu")
    fields = ("host", "gpu", "figures_in_words", "holders", "slot_links")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[GpuLease]:
        held = Prefetch("jobs", queryset=Job.objects.held(), to_attr="held_jobs")
        gpus: QuerySet[GpuLease] = super().get_queryset(request)
        return gpus.prefetch_related(held, "slots")

    @admin.display(description="Load and memory")
    def figures_in_words(self, gpu: GpuLease) -> str:
        if gpu.figures is None:
            return "Unknown: no NVIDIA driver has told them."
        return f"{gpus.in_words(gpu.figures)}; measured {readable.age(gpu.figures_at)} ago"

    @admin.display(description="Held by")
    def holders(self, gpu: Any) -> SafeString | str:
        return showing.links(gpu.held_jobs)

    @admin.display(description="Slots")
    def slot_links(self, gpu: GpuLease) -> SafeString | str:
        return showing.links(gpu.slots.all())
