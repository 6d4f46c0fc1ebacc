"""The compose file and the proxy's, without a Docker engine: what they name exists, and they agree with each other."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from isengard import settings
from isengard.supervisor.workers import WORKER_KINDS
from tests.docs.container_files import COMPOSE, NGINX, OURS, SERVICES, image_environment, mounts
from tests.docs.pages import PROJECT, is_passed_on_to_trainers, settings_read

SHUTDOWN_GRACE_SECONDS_IN_PRODUCTION = 120
EACH_OF_OUR_SERVICES = pytest.mark.parametrize("name", OURS)


def test_every_process_that_production_needs_is_a_service() -> None:
    workers = {service["command"][-1] for service in OURS.values() if "worker" in service["command"]}
    assert workers == set(WORKER_KINDS)
    assert set(SERVICES) == {
        *("proxy", "web", "stream", "prepare", "maintenance", "beat", "worker-training", "worker-generation"),
        *("redis", "postgres"),
    }


@EACH_OF_OUR_SERVICES
def test_its_command_exists(name: str) -> None:
    program, *arguments = OURS[name]["command"]
    if program == "celery":
        assert arguments[:3] == ["-A", "isengard", "beat"]
        assert importlib.util.find_spec("isengard.celery")
    elif arguments[0] == "-m":
        assert importlib.util.find_spec(arguments[1])
    else:
        script, command, *options = arguments
        assert (PROJECT / script).is_file()
        load_command_class(get_commands()[command], command).create_parser(script, command).parse_args(options)


@EACH_OF_OUR_SERVICES
def test_it_sets_only_what_is_read(name: str) -> None:
    unread = set(OURS[name]["environment"]) - set(settings_read())
    assert [setting for setting in unread if not is_passed_on_to_trainers(setting)] == []


@EACH_OF_OUR_SERVICES
def test_it_runs_in_production_with_the_database_and_redis_of_the_file(name: str) -> None:
    environment = OURS[name]["environment"]
    assert environment["ISENGARD_MODE"] == "production"
    assert environment["DATABASE_URL"].startswith("postgres://isengard:")
    assert "@postgres:5432/" in environment["DATABASE_URL"]
    assert environment["REDIS_URL"] == "redis://redis:6379/0"
    assert {"SECRET_KEY", "ALLOWED_HOSTS", "TRUSTED_PROXIES", "ISENGARD_HOSTNAME"} <= set(environment)


@EACH_OF_OUR_SERVICES
def test_it_is_killed_only_after_its_own_grace(name: str) -> None:
    seconds = int(OURS[name]["stop_grace_period"].removesuffix("s"))
    assert seconds > SHUTDOWN_GRACE_SECONDS_IN_PRODUCTION


def test_the_grace_of_production_is_what_the_settings_say(tmp_path: Path) -> None:
    code = "from isengard import settings; print(settings.SHUTDOWN_GRACE_SECONDS)"
    environment = {"ISENGARD_MODE": "production", "SECRET_KEY": "x", "ISENGARD_ENV_FILE": "/dev/null"}
    environment["ISENGARD_DATA_DIR"] = str(tmp_path)
    said = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=environment, capture_output=True, check=True)
    assert float(said.stdout) == SHUTDOWN_GRACE_SECONDS_IN_PRODUCTION


@EACH_OF_OUR_SERVICES
def test_it_waits_for_prepare_and_is_checked_only_where_it_serves(name: str) -> None:
    service = OURS[name]
    is_web_server = "isengard.server" in service["command"]
    assert service.get("healthcheck") == (None if is_web_server else {"disable": True})
    if name == "prepare":
        assert service["depends_on"]["postgres"]["condition"] == "service_healthy"
    else:
        assert service["depends_on"]["prepare"]["condition"] == "service_completed_successfully"
        assert service["depends_on"]["redis"]["condition"] == "service_healthy"


def test_every_health_that_is_waited_for_is_checked() -> None:
    waited_for = {
        other
        for service in SERVICES.values()
        for other, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_healthy"
    }
    checked = {name for name, service in SERVICES.items() if "test" in service.get("healthcheck", {})}
    assert waited_for <= checked | {"web", "stream"}


def test_only_what_needs_a_gpu_waits_for_the_profile() -> None:
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        "worker-generation": ["gpu"],
        "worker-training": ["gpu"],
    }
    (device,) = SERVICES["worker-training"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert "ISENGARD_GPU" in SERVICES["worker-training"]["environment"]


def test_redis_forgets_nothing() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_every_volume_is_declared_and_every_mounted_file_exists() -> None:
    mounted = [source for service in SERVICES.values() for source in mounts(service)]
    named = {source for source in mounted if not source.startswith((".", "$"))}
    assert named == set(COMPOSE["volumes"])
    assert [source for source in mounted if source.startswith(".") and not (PROJECT / source).is_file()] == []


def test_other_images_are_pinned_to_a_release() -> None:
    images = {service["image"] for service in SERVICES.values() if "build" not in service}
    assert all(re.fullmatch(r"[\w/]+:\d+[\w.-]*", image) for image in images)


def test_the_proxy_sends_to_the_services_and_their_port() -> None:
    servers = dict(re.findall(r"server ([a-z]+):(\d+);", NGINX))
    assert servers == {"web": image_environment()["PORT"], "stream": image_environment()["PORT"]}


def test_the_proxy_listens_where_compose_publishes_it() -> None:
    (port,) = re.findall(r"listen (\d+);", NGINX)
    assert [mapping.rpartition(":")[2] for mapping in SERVICES["proxy"]["ports"]] == [port]
    assert f"http://127.0.0.1:{port}/health" in SERVICES["proxy"]["healthcheck"]["test"]


def test_the_proxy_trusts_no_more_than_the_network_of_the_file() -> None:
    (network,) = COMPOSE["networks"]["default"]["ipam"]["config"]
    assert {service["environment"]["TRUSTED_PROXIES"] for service in OURS.values()} == {network["subnet"]}


def test_the_proxy_holds_back_no_stream() -> None:
    (stream,) = re.findall(r"location ~ /stream\$ \{(.*?)\}", NGINX, re.DOTALL)
    assert "proxy_pass http://isengard_stream;" in stream
    assert "proxy_buffering off;" in stream


def test_the_proxy_lets_a_full_upload_through() -> None:
    (gigabytes,) = re.findall(r"client_max_body_size (\d+)g;", NGINX)
    assert int(gigabytes) * 1000 >= settings.DATA_UPLOAD_MAX_NUMBER_FILES * 20
