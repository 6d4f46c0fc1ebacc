"""Everything about one job in a ZIP file, for whoever looks into what went wrong."""

import logging
import platform
import shutil
import zipfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import django
import orjson
from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection
from django.utils import timezone
from rest_framework.exceptions import NotFound

from jobs import attempts, describing, log, losses
from jobs.artifacts import ENGINE_CONFIG, PICTURES
from jobs.log_search import read_settled
from jobs.models import Artifact, Job

logger = logging.getLogger(__name__)

# A bundle goes into an issue or a mail: hundreds of samples would make it useless for that.
MAX_PICTURES_BYTES = 100 * 1024 * 1024
# Where it ran is nobody else's business, and who holds it means nothing elsewhere.
NAMES_OF_MACHINES = ("slot", "holder")
PACKAGES = ("celery", "djangorestframework", "kombu", "pillow", "psycopg", "pydantic", "redis", "safetensors")


def open_bundle(job: Job) -> IO[bytes]:
    """Return a temporary file with the bundle. Only the newest pictures that fit are in it; job.json names the rest."""
    folder = Path(settings.FILE_UPLOAD_TEMP_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    # Beside the data and not in /tmp, which may be memory. It has no name, so a crash leaves nothing.
    content = TemporaryFile(dir=folder)  # noqa: SIM115 -- whoever sends it closes it.
    try:
        with zipfile.ZipFile(content, "w", compression=zipfile.ZIP_DEFLATED) as bundle:
            Bundler(bundle, job).fill()
        content.seek(0)
    except BaseException:
        content.close()
        raise
    return content


class Bundler:
    def __init__(self, bundle: zipfile.ZipFile, job: Job) -> None:
        self._bundle = bundle
        self._job = job
        self._left_out: list[str] = []

    def fill(self) -> None:
        self._add_json("environment.json", environment())
        self._add_log()
        self._add_losses()
        for config in self._job.artifacts.filter(type=ENGINE_CONFIG):
            self._copy(config, config.name)
        for picture in self._fitting_pictures():
            self._copy(picture, f"samples/{picture.name}", compression=zipfile.ZIP_STORED)
        # Last, because only now it is known what is missing.
        self._add_json("job.json", described(self._job) | {"left_out": self._left_out})

    def _add_json(self, name: str, value: Any) -> None:
        self._bundle.writestr(_entry(name), orjson.dumps(value, option=orjson.OPT_INDENT_2))

    def _add_log(self) -> None:
        try:
            content = read_settled(self._job, lambda: b"".join(log.lines(self._job)))
        except NotFound:
            self._leave_out("log.jsonl")
            return
        self._bundle.writestr(_entry("log.jsonl"), content)

    def _add_losses(self) -> None:
        try:
            points = losses.points_of(self._job)
        except FileNotFoundError:
            self._leave_out(losses.FILE_NAME)
            return
        if points:
            self._bundle.writestr(_entry(losses.FILE_NAME), losses.as_file(points))

    def _fitting_pictures(self) -> Iterable[Artifact]:
        room_bytes = MAX_PICTURES_BYTES
        for picture in self._job.artifacts.filter(type__in=PICTURES).order_by("-created_at", "-id"):
            if picture.size_bytes > room_bytes:
                room_bytes = 0
                self._leave_out(f"samples/{picture.name}")
            else:
                room_bytes -= picture.size_bytes
                yield picture

    def _copy(self, artifact: Artifact, name: str, *, compression: int = zipfile.ZIP_DEFLATED) -> None:
        try:
            source = default_storage.open(artifact.key)
        except FileNotFoundError:
            self._leave_out(name)
            return
        with source, self._bundle.open(_entry(name, compression), "w", force_zip64=True) as target:
            shutil.copyfileobj(source, target)

    def _leave_out(self, name: str) -> None:
        logger.info("Left out of the debug bundle: %s", name, extra={"job": self._job.pk})
        self._left_out.append(name)


def described(job: Job) -> dict[str, Any]:
    """Return the job as a stranger may see it: neither tokens nor machines."""
    told = {name: value for name, value in describing.full(job).items() if name not in NAMES_OF_MACHINES}
    return told | {"attempts": describing.plain(attempts.public(job))}


def environment() -> dict[str, Any]:
    """Return what may matter of the place where it ran: versions and mode, no names, no settings, no variables."""
    return {
        "isengard": settings.VERSION,
        "mode": settings.MODE,
        "python": platform.python_version(),
        "django": django.get_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "database": connection.vendor,
        "system": platform.system(),
        "machine": platform.machine(),
    }


def _entry(name: str, compression: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=timezone.now().timetuple()[:6])
    entry.compress_type = compression
    return entry
