"""Rows against promises: every job is there, has ended as it had to, and was worked on once at a time."""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from tests.faults.harness.finding import Finding
from tests.faults.harness.ledger import ENDED, Promise
from tests.faults.harness.rows import Rows, as_json, as_time

# After so many crashes without a checkpoint in between a job is given up, in these words.
MOST_CRASHES = 3
GIVEN_UP = "Gave up after "
# The words of a job that met a mistake of Isengard itself: no fault excuses them.
MISTAKE = "Isengard itself failed"
COLUMNS = "id, kind, status, attempt, crashes, token, holder, gpu_id, error_message, output_key, config"


def audit_jobs(rows: Rows, promises: Sequence[Promise]) -> list[Finding]:
    found = {
        row[0]: dict(zip(COLUMNS.split(", "), row, strict=True)) for row in rows.ask(f"SELECT {COLUMNS} FROM jobs_job")
    }
    promised = {promise.job: promise for promise in promises}
    attempts = _attempts(rows)
    findings = [Finding("lost", f"{job} was accepted and has no row") for job in promised.keys() - found.keys()]
    findings += [Finding("doubled", f"{job}: nobody was told of it") for job in found.keys() - promised.keys()]
    for job, row in found.items():
        findings += _still_at_work(row)
        findings += _attempts_of(row, attempts.get(job, []))
        if job in promised:
            findings += _not_as_promised(promised[job], row, attempts.get(job, []))
    return findings + _outputs(rows, found, promised) + _loras(rows, found)


def gave_up(rows: Rows) -> list[str]:
    """Return the jobs that were given up after too many crashes: no violation, but to be told."""
    failed = rows.ask("SELECT id, error_message FROM jobs_job WHERE status = 'failed'")
    return [job for job, message in failed if message.startswith(GIVEN_UP)]


def _still_at_work(row: dict[str, Any]) -> Iterator[Finding]:
    if row["status"] not in ENDED:
        yield Finding("stuck", f"{row['id']} is {row['status']}")
        return
    for column in ("token", "holder", "gpu_id"):
        if row[column] not in (None, ""):
            yield Finding("stuck", f"{row['id']} has ended and still has its {column}: {row[column]}")


def _not_as_promised(promise: Promise, row: dict[str, Any], attempts: list[dict[str, Any]]) -> Iterator[Finding]:
    status = row["status"]
    if as_json(row["config"]) != promise.config:
        yield Finding("wrong result", f"{promise.job} has another config than it was accepted with")
    if promise.cancelling == "confirmed" and status != "cancelled":
        yield Finding("wrong result", f"{promise.job} was cancelled and is {status}")
    if promise.cancelling == "no" and status == "cancelled" and not promise.is_hopeless:
        yield Finding("wrong result", f"{promise.job} is cancelled and nobody asked for that")
    if promise.is_hopeless and status == "completed":
        yield Finding("wrong result", f"{promise.job} is completed, though its deadline was too short for that")
    if promise.not_before and attempts and as_time(attempts[0]["claimed_at"]) < as_time(promise.not_before):
        yield Finding("wrong result", f"{promise.job} was begun before {promise.not_before}")
    if status == "failed" and not _may_fail(row, attempts):
        yield Finding("lost", f"{promise.job} failed in attempt {row['attempt']}: {row['error_message']}")


def _may_fail(row: dict[str, Any], attempts: list[dict[str, Any]]) -> bool:
    crashed = sum(attempt["outcome"] == "crashed" for attempt in attempts)
    why = row["error_message"]
    return crashed >= MOST_CRASHES and why.startswith(GIVEN_UP) and MISTAKE not in why


# --- attempts ---


def _attempts(rows: Rows) -> dict[str, list[dict[str, Any]]]:
    columns = "job_id, number, claimed_at, ended_at, outcome, reason"
    by_job: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.ask(f"SELECT {columns} FROM jobs_attempt ORDER BY job_id, number"):
        by_job[row[0]].append(dict(zip(columns.split(", "), row, strict=True)))
    return by_job


def _attempts_of(row: dict[str, Any], attempts: list[dict[str, Any]]) -> Iterator[Finding]:
    job = row["id"]
    if [attempt["number"] for attempt in attempts] != list(range(1, row["attempt"] + 1)):
        yield Finding("lost", f"{job} has {row['attempt']} attempts, recorded are {[a['number'] for a in attempts]}")
    for attempt in attempts:
        if row["status"] in ENDED and attempt["ended_at"] is None:
            yield Finding("stuck", f"attempt {attempt['number']} of {job} never ended")
    for attempt in attempts[:-1]:
        if attempt["outcome"] in ENDED:
            yield Finding("doubled", f"{job} was {attempt['outcome']} in attempt {attempt['number']}, then begun again")
    for before, after in itertools.pairwise(attempts):
        if before["ended_at"] is not None and before["ended_at"] > after["claimed_at"]:
            yield Finding("doubled", f"attempts {before['number']} and {after['number']} of {job} overlap")
    crashed = sum(attempt["outcome"] == "crashed" for attempt in attempts)
    if row["crashes"] > crashed:
        yield Finding("wrong result", f"{job} counts {row['crashes']} crashes, and {crashed} attempts crashed")


# --- results ---


def _outputs(rows: Rows, jobs: dict[str, dict[str, Any]], promised: dict[str, Promise]) -> list[Finding]:
    names: dict[str, set[str]] = defaultdict(set)
    for job, name in rows.ask("SELECT job_id, name FROM jobs_artifact WHERE type = 'output'"):
        names[job].add(name)
    findings = []
    for job, row in jobs.items():
        if row["kind"] == "generation" and row["status"] == "completed" and job in promised:
            wanted = {f"{job}-{number}.png" for number in range(promised[job].count)}
            if names[job] != wanted:
                findings.append(Finding("lost", f"{job} is completed with the images {sorted(names[job])}"))
    return findings


def _loras(rows: Rows, jobs: dict[str, dict[str, Any]]) -> list[Finding]:
    made: dict[str, list[str]] = defaultdict(list)
    versions: dict[tuple[str, int], list[str]] = defaultdict(list)
    for job, key, character, version in rows.ask(
        "SELECT job_id, key, character_id, version FROM characters_lora WHERE character_id IS NOT NULL"
    ):
        made[job].append(key)
        versions[character, version].append(job)
    trained = [row for row in jobs.values() if row["kind"] == "training"]
    findings = [finding for row in trained for finding in _lora_of(row, made.get(row["id"], []))]
    doubled = {version: of for version, of in versions.items() if len(of) > 1}
    return findings + [Finding("doubled", f"version {version} is of {of}") for version, of in doubled.items()]


def _lora_of(row: dict[str, Any], keys: list[str]) -> Iterator[Finding]:
    if len(keys) > 1:
        yield Finding("doubled", f"{row['id']} made the LoRAs {keys}")
    if row["status"] == "completed" and row["output_key"] not in keys:
        yield Finding("lost", f"{row['id']} is completed and its LoRA {row['output_key']!r} has no row")
    if row["status"] != "completed" and keys:
        yield Finding("wrong result", f"{row['id']} is {row['status']} and has the LoRA {keys}")
