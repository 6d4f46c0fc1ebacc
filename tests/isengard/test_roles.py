"""The groups of viewers and operators: what they may do, on a new installation and after an upgrade."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models.signals import post_migrate
from django.test import Client
from django.urls import reverse

from jobs.models import Job, Status
from tests.jobs import admin_rows as rows

pytestmark = pytest.mark.django_db


def member_of(group: str) -> User:
    user = User.objects.create_user(f"a-{group}", is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    return user


def migrated_again(label: str) -> None:
    config = apps.get_app_config(label)
    post_migrate.send(config, app_config=config, verbosity=0, interactive=False, using="default", apps=apps, plan=[])


def test_viewers_see_everything_and_change_nothing() -> None:
    user = member_of("viewer")
    assert user.has_perms(
        ["jobs.view_job", "characters.view_lora", "generation.view_inputimage", "admin.view_logentry"]
    )
    assert all(".view_" in permission for permission in user.get_all_permissions())


def test_operators_change_what_is_ours_but_no_people_and_no_audit_trail() -> None:
    user = member_of("operator")
    assert user.has_perms(["jobs.change_job", "jobs.delete_job", "jobs.change_slot", "characters.add_character"])
    foreign = {permission for permission in user.get_all_permissions() if permission.startswith(("auth.", "admin."))}
    assert foreign == {"admin.view_logentry"}


def test_a_permission_that_a_later_release_brings_is_given() -> None:
    Permission.objects.filter(codename__endswith="_slot").delete()
    migrated_again("jobs")
    assert member_of("operator").has_perm("jobs.change_slot")
    assert member_of("viewer").has_perm("jobs.view_slot")
    assert not User.objects.get(username="a-viewer").has_perm("jobs.change_slot")


def test_what_an_administrator_took_away_stays_away() -> None:
    Group.objects.get(name="operator").permissions.remove(Permission.objects.get(codename="delete_job"))
    migrated_again("jobs")
    assert not member_of("operator").has_perm("jobs.delete_job")


def test_a_group_that_an_administrator_removed_stays_removed() -> None:
    Group.objects.get(name="viewer").delete()
    migrated_again("jobs")
    assert not Group.objects.filter(name="viewer").exists()


def test_an_installation_from_before_the_groups_gets_them_whole() -> None:
    Group.objects.all().delete()
    migration = MigrationExecutor(connection).loader.graph.nodes[("isengard", "0001_roles")]
    migration.operations[0].code(apps, SimpleNamespace(connection=connection))
    assert member_of("operator").has_perms(["jobs.change_job", "characters.delete_lora"])


@pytest.mark.django_db(transaction=True)
def test_an_emptied_database_has_the_groups_again() -> None:
    call_command("flush", interactive=False, verbosity=0)
    assert member_of("operator").has_perm("jobs.change_job")
    assert member_of("viewer").has_perm("jobs.view_job")


@pytest.mark.parametrize(("group", "answer"), [("viewer", 403), ("operator", 302)])
def test_operators_press_the_buttons_of_queues_slots_and_jobs_and_viewers_do_not(
    client: Client, group: str, answer: int
) -> None:
    client.force_login(member_of(group))
    rows.new_slot("here")
    rows.new_job("gen-1", status=Status.FAILED)
    for page, key, sent in (
        ("queuestate_act", "training", {"verb": "pause"}),
        ("slot_act", "here", {"verb": "drain"}),
        ("job_delete", "gen-1", {"post": "yes"}),
    ):
        assert client.post(reverse(f"admin:jobs_{page}", args=[key]), sent).status_code == answer
    for page, status in (("admin_logentry", 200), ("auth_user", 403), ("auth_group", 403)):
        assert client.get(reverse(f"admin:{page}_changelist")).status_code == status


@pytest.mark.parametrize(("group", "status"), [("viewer", Status.QUEUED), ("operator", Status.CANCELLED)])
def test_only_operators_cancel(client: Client, settings: Any, group: str, status: Status) -> None:
    client.force_login(member_of(group))
    job = rows.new_job("gen-1")
    chosen = {"action": "cancel_selected", "_selected_action": ["gen-1"], "post": "yes"}
    client.post(reverse("admin:jobs_job_changelist"), chosen)
    job.refresh_from_db()
    assert job.status == status
    assert Job.objects.count() == 1
