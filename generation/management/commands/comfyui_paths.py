from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.core.management.base import BaseCommand, CommandError

from generation.engines import comfyui
from generation.lora_folder import FolderUnusable, paths_file, write_paths_file

NEXT = """\
On each ComfyUI server ({hosts}): start it with

    python main.py --extra-model-paths-config {file}

as a user who may read the folder (its files belong to you and your group, mode 0640). New LoRAs then appear without
a restart. On another machine, share the folder with it and write its file with --folder PATH as seen from there.
`manage.py doctor` checks that each server sees our LoRAs."""


class Command(BaseCommand):
    help = "Print the extra_model_paths.yaml that lets ComfyUI see our LoRAs, or write it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--write", metavar="FILE", type=Path, help="Write it there instead of printing it.")
        parser.add_argument("--folder", metavar="PATH", help="Where the ComfyUI server sees our folder loras.")

    def handle(self, *_arguments: Any, **options: Any) -> None:
        target: Path | None = options["write"]
        try:
            content = paths_file(options["folder"] or _own_folder())
            if target is None:
                self.stdout.write(content, ending="")
            else:
                write_paths_file(target, content)
        except FolderUnusable as exc:
            raise CommandError(str(exc)) from exc
        except OSError as exc:
            raise CommandError(f"{target} could not be written: {exc.strerror or exc}.") from exc
        # Beside the file itself, which may be on its way into another one.
        hosts = ", ".join(comfyui.host_of(url) for url in settings.COMFYUI_URLS)
        self.stderr.write(NEXT.format(hosts=hosts, file=target.absolute() if target else "FILE"))


def _own_folder() -> str:
    """Return the folder, which is made if it is not there: ComfyUI stumbles over one that comes and goes."""
    try:
        folder = Path(default_storage.path("loras"))
    except NotImplementedError as exc:
        raise FolderUnusable(
            "The LoRAs are in an object store, where ComfyUI cannot look. Copy them into a folder that it sees, "
            "and name that one with --folder."
        ) from exc
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)
