import argparse
import contextlib
import time
from argparse import ArgumentParser
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from jobs import describing, kinds, readable, trail
from jobs.admission import QueueFull
from jobs.cancelling import NotCancellable, cancel_job
from jobs.log_reading import Entry, LogFollower, as_line
from jobs.models import Job, Status
from jobs.retrying import NotRetryable, retry_job

POLL_SECONDS = 1.0
MESSAGE_LENGTH = 60
HEADINGS = ("ID", "KIND", "STATUS", "PROGRESS", "STEP", "AGE", "DURATION", "ATTEMPT", "SLOT", "MESSAGE")


class Command(BaseCommand):
    help = "Look at jobs, read their logs, cancel or retry them."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        _add_list(actions.add_parser("list", help="the newest jobs"))
        _add_one(actions.add_parser("show", help="everything about one job"))
        _add_tail(actions.add_parser("tail", help="the end of a job's log"))
        cancel = actions.add_parser("cancel", help="cancel jobs that have not ended")
        retry = actions.add_parser("retry", help="run failed or cancelled jobs again, as new jobs")
        retry.add_argument(
            "--from-beginning", action="store_true", help="also where there is a checkpoint to go on from"
        )
        for several in (cancel, retry):
            several.add_argument("ids", nargs="+", metavar="ID")
            _add_json(several)

    def handle(self, *_arguments: Any, **options: Any) -> None:
        actions = {"list": self._list, "show": self._show, "tail": self._tail}
        actions.get(options["action"], self._act)(options)

    def _list(self, options: dict[str, Any]) -> None:
        wanted = {f"{name}__in": options[name] for name in ("kind", "status") if options[name]}
        jobs = Job.objects.filter(**wanted)[: options["limit"]]
        if options["json"]:
            self._write_json([describing.brief(job) for job in jobs])
        else:
            self.stdout.write(readable.table(HEADINGS, [_row(job) for job in jobs]))

    def _show(self, options: dict[str, Any]) -> None:
        described = describing.full(_find(options["id"]))
        if options["json"]:
            self._write_json(described)
            return
        for name, value in described.items():
            self.stdout.write(f"{name + ':':<16} {_indented(value)}")

    def _tail(self, options: dict[str, Any]) -> None:
        # Ctrl-C is how one stops watching.
        with contextlib.suppress(KeyboardInterrupt):
            try:
                self._read_log(_find(options["id"]), options)
            except Job.DoesNotExist as exc:
                raise CommandError(f"Job {options['id']} has been deleted.") from exc
            except OSError as exc:
                raise CommandError(f"The log of {options['id']} cannot be read: {exc}") from exc

    def _read_log(self, job: Job, options: dict[str, Any]) -> None:
        follower = LogFollower(job.pk)
        # A last look comes after the job's end, because its last lines are written after its status.
        is_over = follower.is_over()
        self._write_entries(follower.read()[-options["lines"] :], options)
        while options["follow"] and not is_over:
            is_over = follower.is_over()
            time.sleep(POLL_SECONDS)
            self._write_entries(follower.read(), options)

    def _act(self, options: dict[str, Any]) -> None:
        """Do it to each; those that refuse are named at the end, and the others are done."""
        act = {"cancel": self._cancel, "retry": self._retry}[options["action"]]
        refused = []
        for job in [_find(job_id) for job_id in dict.fromkeys(options["ids"])]:
            try:
                act(job, options)
            except (NotCancellable, NotRetryable, QueueFull) as exc:
                refused.append(f"{job.pk}: {exc}")
        if refused:
            raise CommandError("; ".join(refused))

    def _cancel(self, job: Job, options: dict[str, Any]) -> None:
        cancel_job(job)
        trail.note_change([job], "Cancelled.")
        if options["json"]:
            self._write_json({"id": job.pk, "status": job.status})
        else:
            self.stdout.write(f"{job.pk} is cancelled; if its engine is at work, it stops within seconds.")

    def _retry(self, job: Job, options: dict[str, Any]) -> None:
        again = retry_job(job, from_checkpoint=False if options["from_beginning"] else None)
        trail.note_change([job], f"Retried as {again.pk}.")
        if options["json"]:
            self._write_json({"id": again.pk, "status": again.status, "retry_of": job.pk})
        else:
            self.stdout.write(f"{job.pk} goes on as {again.pk}.")

    def _write_entries(self, entries: list[Entry], options: dict[str, Any]) -> None:
        for entry in entries:
            self.stdout.write(orjson.dumps(entry).decode() if options["json"] else as_line(entry))
        self.stdout.flush()

    def _write_json(self, value: Any) -> None:
        self.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def _add_list(parser: ArgumentParser) -> None:
    parser.add_argument("--kind", action="append", choices=kinds.names(), help="may be given more than once")
    parser.add_argument("--status", action="append", choices=Status.values, help="may be given more than once")
    parser.add_argument("--limit", type=_count, default=20, help="at most so many, the newest first (%(default)s)")
    _add_json(parser)


def _add_one(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID")
    _add_json(parser)


def _add_tail(parser: ArgumentParser) -> None:
    _add_one(parser)
    parser.add_argument("--follow", "-f", action="store_true", help="go on until the job has ended")
    parser.add_argument("--lines", "-n", type=_count, default=50, help="begin with so many lines (%(default)s)")


def _add_json(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for machines")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _find(job_id: str) -> Job:
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        raise CommandError(f"Job {job_id} not found.")
    return job


def _row(job: Job) -> tuple[object, ...]:
    return (
        job.pk,
        job.kind,
        job.status,
        f"{job.progress} %",
        f"{job.current_step}/{job.total_steps}",
        readable.age(job.created_at),
        readable.duration(job.elapsed_seconds),
        job.attempt,
        job.slot or readable.NOTHING,
        readable.shortened(describing.said(job) or readable.NOTHING, MESSAGE_LENGTH),
    )


def _indented(value: Any) -> str:
    if value in (None, "", [], {}):
        return readable.NOTHING
    if not isinstance(value, dict | list):
        return str(value)
    return "\n  " + orjson.dumps(value, option=orjson.OPT_INDENT_2).decode().replace("\n", "\n  ")
