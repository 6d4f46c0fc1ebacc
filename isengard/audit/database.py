"""The database itself: references that lead nowhere, and damaged pages. PostgreSQL sees to both by itself."""

from collections.abc import Iterator

from django.db import IntegrityError, connection

from isengard.audit.finding import Finding

RESTORE = "Restore the newest backup, and look at the disk."


def check_references() -> Iterator[Finding]:
    if connection.vendor == "sqlite" and _broken_reference():
        yield Finding(
            code="broken_reference",
            subject="database",
            text=_broken_reference(),
            advice=RESTORE,
            is_still_so=lambda: bool(_broken_reference()),
        )


def _broken_reference() -> str:
    try:
        connection.check_constraints()
    except IntegrityError as exc:
        return str(exc)
    return ""


def check_pages() -> Iterator[Finding]:
    for text in _damaged_pages() if connection.vendor == "sqlite" else ():
        yield Finding(code="damaged_database", subject="database", text=text, advice=RESTORE, is_still_so=lambda: True)


def _damaged_pages() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA integrity_check(20)")
        return [row[0] for row in cursor.fetchall() if row[0] != "ok"]
