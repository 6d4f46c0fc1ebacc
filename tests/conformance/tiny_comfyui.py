"""Runs the real ComfyUI on a CPU with tiny random models, for tests that want its true answers.

Run with ComfyUI's own Python:
`python tiny_comfyui.py --comfyui DIR --models DIR make` writes the models, some 200 MB, in seconds;
`python tiny_comfyui.py --comfyui DIR --models DIR serve --folder DIR --port N [-- ARGUMENTS]` runs the server in the
foreground with its inputs, outputs, user and temporary files below a folder of its own, and hands it the ARGUMENTS.
"""

import argparse
import logging
import os
import runpy
import sys
from pathlib import Path

LOOPBACK = "127.0.0.1"


def main() -> None:
    arguments, further = _arguments()
    sys.path.insert(0, str(arguments.comfyui))
    if arguments.do == "make":
        _make(arguments.models)
    else:
        _serve(arguments, further)


def _arguments() -> tuple[argparse.Namespace, list[str]]:
    ours, further = _split(sys.argv[1:])
    parser = argparse.ArgumentParser(description="Run ComfyUI on a CPU with tiny random models.")
    parser.add_argument("--comfyui", type=_folder, required=True, metavar="DIR", help="ComfyUI's checkout")
    parser.add_argument("--models", type=_folder, required=True, metavar="DIR", help="where the tiny models lie")
    deeds = parser.add_subparsers(dest="do", required=True)
    deeds.add_parser("make", help="write the models")
    serve = deeds.add_parser("serve", help="run the server; ComfyUI's own arguments follow after --")
    serve.add_argument("--folder", type=_folder, required=True, metavar="DIR", help="for all that the server writes")
    serve.add_argument("--port", type=int, required=True, metavar="N")
    return parser.parse_args(ours), further


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    dashes = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:dashes], arguments[dashes + 1 :]


def _folder(text: str) -> Path:
    return Path(text).resolve()


def _make(models: Path) -> None:
    _pretend_command_line(["--cpu"])
    import tiny_comfyui_sizes
    import tiny_comfyui_weights

    tiny_comfyui_sizes.adapt()
    tiny_comfyui_weights.write_models(models)


def _serve(arguments: argparse.Namespace, further: list[str]) -> None:
    _prepare(arguments.folder, arguments.models)
    _pretend_command_line([*_server_arguments(arguments.folder, arguments.port), *further])
    import tiny_comfyui_sizes

    tiny_comfyui_sizes.adapt()
    # What was logged so far made a handler, which would write each line a second time.
    logging.getLogger().handlers.clear()
    runpy.run_path(str(arguments.comfyui / "main.py"), run_name="__main__")


def _prepare(folder: Path, models: Path) -> None:
    for part in ("input", "output", "temp", "user", "custom_nodes", "web"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    if not (folder / "models").exists():
        (folder / "models").symlink_to(models, target_is_directory=True)


def _server_arguments(folder: Path, port: int) -> list[str]:
    place = ["--base-directory", str(folder), "--front-end-root", str(folder / "web"), "--port", str(port)]
    # Its database would lie beside its code, where servers would share it.
    return [*place, "--listen", LOOPBACK, "--database-url", "sqlite:///:memory:", "--cpu", "--disable-api-nodes"]


def _pretend_command_line(arguments: list[str]) -> None:
    """ComfyUI reads its arguments while its first module is imported."""
    sys.argv = ["main.py", *arguments]
    # More threads than free cores wait for each other for longer than they compute.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import comfy.options

    comfy.options.enable_args_parsing()


if __name__ == "__main__":
    main()
