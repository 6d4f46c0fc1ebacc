"""The two groups of people: viewers look at everything, operators also act. Neither sees to users or groups.

A permission is given to them once, when it comes into being, so what an administrator takes away stays away.
"""

from typing import Any

from django.apps import AppConfig
from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db.models import Q
from django.db.models.signals import post_migrate

VIEWER, OPERATOR = "viewer", "operator"
APPS = ("characters", "generation", "jobs", "training")
# Who did what is for everybody to see, and for nobody to change.
AUDIT_TRAIL = Q(content_type__app_label="admin", codename="view_logentry")
OURS = Q(content_type__app_label__in=APPS) | AUDIT_TRAIL


def connect() -> None:
    """Have permissions given as migrations make them. To be called before `django.contrib.auth` connects its own."""
    post_migrate.connect(_give_new_permissions, dispatch_uid="isengard.cockpit.roles")


def give(permissions: Any, groups: Any) -> None:
    """Give to each group what its people are to have of `permissions`. Both are querysets."""
    for group in groups.filter(name__in=(VIEWER, OPERATOR)):
        wanted = permissions.filter(OURS)
        group.permissions.add(*(wanted if group.name == OPERATOR else wanted.filter(codename__startswith="view_")))


def make_groups(groups: Any) -> None:
    for name in (VIEWER, OPERATOR):
        groups.get_or_create(name=name)


def _give_new_permissions(sender: AppConfig, *, using: str, apps: Any = installed, **_: Any) -> None:
    # `flush` sends the signal too, without the apps of a migration.
    if sender.label not in (*APPS, "admin"):
        return
    try:
        permissions = apps.get_model("auth", "Permission").objects.using(using)
        groups = apps.get_model("auth", "Group").objects.using(using)
    except LookupError:
        # Migrated to before there were any.
        return
    if not permissions.filter(OURS).exists():
        # A database that is new, or was emptied.
        make_groups(groups)
    known = list(permissions.values_list("pk", flat=True))
    create_permissions(sender, verbosity=0, using=using, apps=apps)
    give(permissions.exclude(pk__in=known), groups)
