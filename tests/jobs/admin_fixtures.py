"""Who looks at the admin pages in the tests, and where their files lie. Imported by name where they are used."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests.jobs.admin_rows import viewer


@pytest.fixture
def root(settings: Any, tmp_path: Path) -> Path:
    """Return an empty storage root. Passwords are hashed quickly, for the users that the tests make."""
    settings.MEDIA_ROOT = str(tmp_path)
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return tmp_path


@pytest.fixture
def viewer_client(client: Client) -> Client:
    client.force_login(viewer())
    return client
