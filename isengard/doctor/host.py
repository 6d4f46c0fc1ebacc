"""Settings and the data directory."""

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core import checks

from characters import disk
from isengard.doctor.finding import Finding, failed, ok, warning
from jobs import readable

LOCAL_NAMES = {"localhost", "127.0.0.1", "[::1]"}
MIN_SECRET_LENGTH = 40
# A training of FLUX writes some gigabytes of checkpoints, samples and cached latents.
LOW_SPACE_BYTES = 10_000_000_000
NO_SPACE_BYTES = 1_000_000_000


def check_settings() -> Iterator[Finding]:
    engines = "real engines" if settings.IS_PRODUCTION else "stand-ins instead of real engines"
    yield ok("settings", f"mode {settings.MODE}: {engines}")
    yield from _secret_key()
    yield from _allowed_hosts()
    if settings.DEBUG:
        yield failed("settings", "DEBUG is on: errors show source code and settings to everybody", "Turn DEBUG off.")
    yield from _system_checks()


def _secret_key() -> Iterator[Finding]:
    if settings.IS_PRODUCTION and len(settings.SECRET_KEY) < MIN_SECRET_LENGTH:
        yield warning(
            "settings",
            f"SECRET_KEY has only {len(settings.SECRET_KEY)} characters",
            f"Set a random one of at least {MIN_SECRET_LENGTH}; people who are logged in must log in again.",
        )
    else:
        yield ok("settings", "SECRET_KEY is set")


def _allowed_hosts() -> Iterator[Finding]:
    names = ", ".join(settings.ALLOWED_HOSTS)
    if "*" in settings.ALLOWED_HOSTS:
        yield warning("settings", "ALLOWED_HOSTS allows every name", "Name the hosts under which people reach it.")
    elif settings.IS_PRODUCTION and set(settings.ALLOWED_HOSTS) <= LOCAL_NAMES:
        advice = "Set ALLOWED_HOSTS to the names under which other machines reach it."
        yield warning("settings", f"ALLOWED_HOSTS is {names}: only this machine is answered", advice)
    else:
        yield ok("settings", f"ALLOWED_HOSTS is {names}")


def _system_checks() -> Iterator[Finding]:
    """Pass on what Django's own checks say."""
    for message in checks.run_checks():
        if not message.is_silenced():
            finding = failed if message.is_serious() else warning
            yield finding("settings", f"{message.msg} ({message.id})", message.hint or "See `manage.py check`.")


def check_data_directory() -> Iterator[Finding]:
    folder = settings.DATA_DIR
    try:
        _try_to_write(folder)
        free = shutil.disk_usage(folder).free
    except OSError as exc:
        advice = "Run `manage.py prepare`, or give this user the directory that ISENGARD_DATA_DIR names."
        yield failed("data", f"{folder} cannot be written: {exc.strerror or exc}", advice)
        return
    yield ok("data", f"{folder} can be written")
    advice = "Make room: see `manage.py cleanup --dry-run`, or delete jobs and characters that nobody needs."
    if disk.is_low(free):
        least = readable.size(settings.MIN_FREE_BYTES)
        text = f"only {readable.size(free)} are free: below {least} uploads are refused and jobs wait"
        yield failed("data", text, advice)
    elif free < NO_SPACE_BYTES:
        yield failed("data", f"only {readable.size(free)} are free", advice)
    elif free < LOW_SPACE_BYTES:
        yield warning("data", f"{readable.size(free)} are free, a training may need more", advice)
    else:
        yield ok("data", f"{readable.size(free)} are free")


def _try_to_write(folder: Path) -> None:
    trial = folder / f".doctor-{secrets.token_hex(8)}"
    try:
        trial.write_bytes(b"well")
    finally:
        trial.unlink(missing_ok=True)
