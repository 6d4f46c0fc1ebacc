"""Reads typed values from the environment and `.env`, and refuses bad ones in words. For `settings.py` alone."""

import secrets
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
env.read_env(env.str("ISENGARD_ENV_FILE", str(BASE_DIR / ".env")))


def choice(name: str, choices: tuple[str, ...], default: str) -> str:
    value = str(env.str(name, default))
    if value not in choices:
        raise ImproperlyConfigured(f"{name} is {value!r}; it must be one of {', '.join(choices)}.")
    return value


def at_least(name: str, minimum: float, default: float) -> float:
    try:
        value = float(env.float(name, default))
    except ValueError as exc:
        raise ImproperlyConfigured(f"{name} must be a number.") from exc
    if not minimum <= value < float("inf"):
        raise ImproperlyConfigured(f"{name} is {value}; it must be a number of at least {minimum:g}.")
    return value


def secret_key(data_dir: Path, *, is_production: bool) -> str:
    """Return SECRET_KEY, or outside production one that is made once and kept in the data directory."""
    given = str(env.str("SECRET_KEY", ""))
    if given:
        return given
    if is_production:
        raise ImproperlyConfigured("SECRET_KEY must be set in production: any long random text that stays secret.")
    return _kept_secret(data_dir / "secret_key")


def _kept_secret(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_suffix(f".{secrets.token_hex(4)}")
        made.touch(mode=0o600)
        made.write_text(secrets.token_urlsafe(50))
        # Of two processes that start at once the first wins, and both then read its key.
        if not path.exists():
            made.rename(path)
        made.unlink(missing_ok=True)
    return path.read_text().strip()
