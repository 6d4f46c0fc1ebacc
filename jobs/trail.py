"""The audit trail of the command line. What people do on the admin's pages is recorded there by those pages."""

import os
import pwd
from collections.abc import Iterable

from django.conf import settings
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model

# Stands for everybody who can log in to a machine of ours; who it was is in the message.
USER_NAME = "command-line"
NAME_LENGTH = 200


def note_change(rows: Iterable[Model], message: str) -> None:
    """Record what a command did to each row, and who gave the command."""
    LogEntry.objects.log_actions(_user_id(), list(rows), CHANGE, _signed(message))


def note_deletion(model: type[Model], pk: str, message: str) -> None:
    """The same for a row that is gone."""
    content_type = ContentType.objects.get_for_model(model)
    _record(pk, message, flag=DELETION, content_type=content_type, object_id=pk)


def note(what: str, message: str) -> None:
    """The same for what is no row of the database."""
    _record(what, message, flag=CHANGE)


def _record(
    name: str, message: str, *, flag: int, content_type: ContentType | None = None, object_id: str = ""
) -> None:
    LogEntry.objects.create(
        user_id=_user_id(),
        content_type=content_type,
        object_id=object_id,
        object_repr=name[:NAME_LENGTH],
        action_flag=flag,
        change_message=_signed(message),
    )


def _user_id() -> int:
    user, is_new = get_user_model().objects.get_or_create(username=USER_NAME, defaults={"is_active": False})
    if is_new:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    return int(user.pk)


def _signed(message: str) -> str:
    return f"{message} (by {_person()} on {settings.HOSTNAME})"


def _person() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        # As in a container that runs under a number of its own.
        return f"user {os.getuid()}"
