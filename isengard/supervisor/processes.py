"""The processes of `make run`: the one place that declares them."""

import sys
from collections.abc import Iterator

from isengard import settings
from isengard.supervisor.health import answers_http
from isengard.supervisor.leftovers import RUN_ID_VARIABLE
from isengard.supervisor.ports import LOOPBACK
from isengard.supervisor.spec import ProcessSpec, StopStage
from isengard.supervisor.valkey import answers_ping, valkey_argv
from isengard.supervisor.workers import WORKER_KINDS, beat_argv, worker_argv

# `manage.py prepare` starts its log-in line so; it is shown with the banner, where a reader looks for it.
LOG_IN_PREFIX = "Log in"


def declare_processes(run_id: str, comfyui_port: int | None) -> tuple[ProcessSpec, ...]:
    """Return what is to run, in the order of starting. `comfyui_port` is the stand-in's; None: a real one is used."""
    environment = {RUN_ID_VARIABLE: run_id, "PYTHONUNBUFFERED": "1", "DJANGO_SETTINGS_MODULE": "isengard.settings"}
    if comfyui_port is not None:
        environment["COMFYUI_URL"] = f"http://{LOOPBACK}:{comfyui_port}"
    return (
        _guard(environment, run_id),
        *_valkey(environment),
        _prepare(environment),
        _web(environment),
        # Only after the web server, which people wait for: on two cores everything at once would make it late.
        *_comfyui_stand_in(environment, comfyui_port),
        *_workers(environment),
    )


def _guard(environment: dict[str, str], run_id: str) -> ProcessSpec:
    return ProcessSpec(
        name="guard",
        argv=(sys.executable, "-m", "isengard.supervisor.guard", run_id),
        environment=environment,
        stop_stage=StopStage.GUARD,
        outlives_supervisor=True,
    )


def _valkey(environment: dict[str, str]) -> Iterator[ProcessSpec]:
    socket_path = settings.REDIS_SOCKET
    if socket_path is not None:
        yield ProcessSpec(
            name="valkey",
            argv=valkey_argv(listen_on=socket_path, keep_in=settings.DATA_DIR / "redis"),
            environment=environment,
            is_ready=lambda: answers_ping(socket_path),
            stop_stage=StopStage.QUEUE,
        )


def _prepare(environment: dict[str, str]) -> ProcessSpec:
    return ProcessSpec(
        name="prepare",
        argv=(sys.executable, "manage.py", "prepare"),
        environment=environment,
        is_one_shot=True,
        banner_prefix=LOG_IN_PREFIX,
    )


def _comfyui_stand_in(environment: dict[str, str], port: int | None) -> Iterator[ProcessSpec]:
    if port is not None:
        folders = (
            *("--base-directory", str(settings.DATA_DIR / "simulator" / "comfyui")),
            *("--lora-directory", str(settings.DATA_DIR / "loras")),
        )
        listen = ("--listen", LOOPBACK, "--port", str(port))
        yield ProcessSpec(
            name="comfyui",
            argv=(sys.executable, "-m", "generation.engines.simulator", *listen, *folders),
            environment={**environment, "ISENGARD_SIMULATOR_STEP_SECONDS": str(settings.SIMULATOR_STEP_SECONDS)},
            after=("web",),
            is_ready=lambda: answers_http(LOOPBACK, port, "/system_stats"),
            stop_stage=StopStage.STAND_INS,
        )


def _web(environment: dict[str, str]) -> ProcessSpec:
    return ProcessSpec(
        name="web",
        argv=(sys.executable, "-m", "isengard.server"),
        environment=environment,
        after=("prepare",),
        is_ready=lambda: answers_http(settings.HOST, settings.PORT, "/health"),
    )


def _workers(environment: dict[str, str]) -> Iterator[ProcessSpec]:
    for kind in WORKER_KINDS:
        name = kind if kind == "maintenance" else f"worker-{kind}"
        yield ProcessSpec(name=name, argv=worker_argv(kind), environment=environment, after=("web",))
    yield ProcessSpec(name="beat", argv=beat_argv(), environment=environment, after=("web",))
