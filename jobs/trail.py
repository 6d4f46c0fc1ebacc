"""The audit trail of the command line. What people do on the admin's pages is recorded there by themselves."""

import os
import pwd
from collections.abc import Iterable

from django.conf import settings
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.auth import get_user_model
from django.db.models import Model

# Stands for everybody who can log in to a machine of ours; who it was is in the message.
USER_NAME = "command-line"


def note_change(rows: Iterable[Model], message: str) -> None:
    """Record in the audit trail what a command did to each row, and who gave the command."""
    LogEntry.objects.log_actions(_user_id(), rows, CHANGE, _signed(message))


def note_removal(what: str, message: str) -> None:
    """The same for what is gone, and for what was never a row."""
    LogEntry.objects.create(
        user_id=_user_id(), action_flag=DELETION, object_repr=what[:200], change_message=_signed(message)
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
        return f"user {os.getuid()}"
