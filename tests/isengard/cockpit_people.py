"""Who looks at the cockpit's pages in the tests."""

from django.contrib.auth.models import Group, User
from django.test import Client


def logged_in(group: str) -> Client:
    """Return the browser of a new member of the group."""
    user = User.objects.create_user(f"a-{group}", is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    client = Client()
    client.force_login(user)
    return client
