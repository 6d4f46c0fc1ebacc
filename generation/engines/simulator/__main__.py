"""Run the stand-in: `python -m generation.engines.simulator --port 8188 --base-directory DIR --lora-directory DIR`."""

import argparse
import asyncio
import os
import signal
from pathlib import Path

from aiohttp import web

from generation.engines.simulator.app import build_app
from generation.engines.simulator.faults import FaultUnknown
from generation.engines.simulator.release import VERSION_DEFAULT, Release
from generation.engines.simulator.server import Options, Server

STEP_SECONDS_VARIABLE = "ISENGARD_SIMULATOR_STEP_SECONDS"
STEP_SECONDS_DEFAULT = 0.05
FAULT_VARIABLE = "ISENGARD_SIMULATOR_FAULT"
VERSION_VARIABLE = "ISENGARD_SIMULATOR_COMFYUI"
ABSENT_VARIABLE = "ISENGARD_SIMULATOR_WITHOUT"
PREVIEW_METHODS = ("none", "auto", "latent2rgb", "taesd")


def main() -> None:
    # The real server does not tidy up when it is told to stop: it is gone at once, without a word to its sockets.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    arguments = _parse_arguments()
    options = Options(
        base_directory=arguments.base_directory,
        lora_directory=arguments.lora_directory,
        step_seconds=_step_seconds(),
        preview_method=arguments.preview_method,
        faults=_listed(FAULT_VARIABLE),
        release=_release(),
        absent=_listed(ABSENT_VARIABLE),
    )
    try:
        asyncio.run(_serve(options, arguments.listen, arguments.port))
    except (FaultUnknown, OSError) as exc:
        raise SystemExit(f"The stand-in for ComfyUI cannot start: {exc}") from exc


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="generation.engines.simulator", description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8188, help="0 picks a free one")
    parser.add_argument("--base-directory", type=Path, required=True, help="holds models, input, output and temp")
    parser.add_argument("--lora-directory", type=Path, help="searched for LoRAs instead of models/loras")
    parser.add_argument("--preview-method", choices=PREVIEW_METHODS, default=PREVIEW_METHODS[0])
    return parser.parse_args()


def _listed(variable: str) -> tuple[str, ...]:
    return tuple(filter(None, os.environ.get(variable, "").split(",")))


def _release() -> Release:
    try:
        return Release(os.environ.get(VERSION_VARIABLE) or VERSION_DEFAULT)
    except ValueError as exc:
        raise SystemExit(f"{VERSION_VARIABLE} has to be a version such as {VERSION_DEFAULT}.") from exc


def _step_seconds() -> float:
    text = os.environ.get(STEP_SECONDS_VARIABLE) or str(STEP_SECONDS_DEFAULT)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise SystemExit(f"{STEP_SECONDS_VARIABLE} has to be a number of seconds, 0 or more, not '{text}'.")
    return seconds


async def _serve(options: Options, host: str, port: int) -> None:
    server = Server(options)
    runner = web.AppRunner(build_app(server), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    server.worker.start()
    print(f"To see the GUI go to: http://{host}:{_bound_port(runner)}", flush=True)
    await server.hub.publish()


def _bound_port(runner: web.AppRunner) -> int:
    port: int = runner.addresses[0][1]
    return port


if __name__ == "__main__":
    main()
