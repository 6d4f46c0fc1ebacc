"""The supervisor over small stub processes: restarts, order, output, and how everything ends."""

import json
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.isengard.supervisor_fixtures import SupervisorRun, eventually, is_zombie
from tests.stack import is_alive

FOREVER = "exec sleep 600"
STUBBORN = "trap '' TERM; echo deaf; while :; do sleep 0.05; done"
Supervise = Callable[..., SupervisorRun]


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Supervise]:
    runs: list[SupervisorRun] = []

    def start(*entries: dict[str, Any], patience_seconds: float = 60) -> SupervisorRun:
        described = tmp_path / "processes.json"
        described.write_text(json.dumps(entries))
        arguments = [sys.executable, "-m", "tests.isengard.supervised_stubs", str(described), str(patience_seconds)]
        runs.append(SupervisorRun(arguments, tmp_path / "log"))
        return runs[-1]

    yield start
    for run in runs:
        run.destroy()


def test_a_child_that_is_killed_is_started_again_and_the_log_says_so(supervise: Supervise) -> None:
    run = supervise({"name": "worker", "shell": FOREVER})
    run.wait_for_line("all is up")
    first = run.child("sleep 600")
    first.kill()
    run.wait_for_line("worker died (killed by SIGKILL); starting it again in 0.5 s")
    eventually(lambda: run.child("sleep 600").pid != first.pid)


def test_the_guard_is_started_again_too(supervise: Supervise) -> None:
    run = supervise({"name": "worker", "shell": FOREVER})
    run.wait_for_line("all is up")
    run.child("isengard.supervisor.guard").kill()
    run.wait_for_line("guard died (killed by SIGKILL)")
    eventually(lambda: bool(run.children("isengard.supervisor.guard")))


def test_a_child_that_keeps_dying_is_started_again_later_each_time(supervise: Supervise) -> None:
    run = supervise({"name": "worker", "shell": "echo too bad; exit 3"})
    run.wait_for_line("worker died (exit code 3); starting it again in 2.0 s")
    said = [line.partition("| ")[2] for line in run.log.splitlines() if line.startswith("isengard")]
    deaths = [line for line in said if line.startswith("worker died")]
    # By now there may be more of them.
    assert [line.rpartition("in ")[2] for line in deaths[:3]] == ["0.5 s", "1.0 s", "2.0 s"]


def test_a_program_that_does_not_exist_is_named_and_does_not_end_the_others(supervise: Supervise) -> None:
    run = supervise({"name": "worker", "shell": "exec no-such-program"}, {"name": "other", "shell": FOREVER})
    run.wait_for_line("no-such-program")
    run.wait_for_line("worker died (exit code 127)")
    run.child("sleep 600")
    assert "other died" not in run.log


def test_a_child_waits_for_those_it_comes_after(supervise: Supervise, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    run = supervise(
        {"name": "web", "shell": f"echo opening; {FOREVER}", "ready_file": str(gate)},
        {"name": "worker", "shell": f"echo working; {FOREVER}", "after": ["web"]},
    )
    run.wait_for_line("opening")
    assert "working" not in run.log
    gate.touch()
    run.wait_for_line("working")
    run.wait_for_line("all is up")


def test_a_one_shot_runs_once_and_lets_the_others_follow(supervise: Supervise) -> None:
    run = supervise(
        {"name": "prepare", "shell": "echo preparing", "is_one_shot": True},
        {"name": "web", "shell": FOREVER, "after": ["prepare"]},
    )
    run.wait_for_line("all is up")
    assert run.log.count("preparing") == 1
    assert "prepare died" not in run.log


def test_a_one_shot_that_fails_ends_everything_with_one_line(supervise: Supervise) -> None:
    run = supervise(
        {"name": "valkey", "shell": FOREVER},
        {"name": "prepare", "shell": "echo no database >&2; exit 4", "is_one_shot": True},
    )
    assert run.process.wait(60) == 1
    assert "prepare failed (exit code 4): nothing can run without it" in run.log
    assert "no database" in run.log
    run.wait_until_nothing_is_left()


def test_what_a_one_shot_says_for_the_banner_is_said_with_the_banner(supervise: Supervise, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    run = supervise(
        {"name": "prepare", "shell": "echo Log in as x; echo made", "is_one_shot": True, "banner_prefix": "Log in"},
        {"name": "web", "shell": FOREVER, "after": ["prepare"], "ready_file": str(gate)},
    )
    run.wait_for_line("made")
    assert "Log in" not in run.log
    gate.touch()
    run.wait_for_line("Log in as x")
    assert run.log.index("all is up") < run.log.index("Log in as x")


def test_what_was_meant_for_a_banner_is_not_lost_when_there_is_none(supervise: Supervise) -> None:
    run = supervise(
        {"name": "prepare", "shell": "echo Log in as x; echo made", "is_one_shot": True, "banner_prefix": "Log in"},
        {"name": "web", "shell": FOREVER, "ready_file": "/nowhere/at/all"},
    )
    run.wait_for_line("made")
    run.stop(signal.SIGINT)
    assert run.log.count("Log in as x") == 1


def test_lines_carry_the_name_of_who_says_them_and_no_colour_in_a_file(supervise: Supervise) -> None:
    run = supervise({"name": "web", "shell": f"printf 'one\\r\\ntw'; printf 'o\\nunended'; {FOREVER}"})
    run.wait_for_line("two")
    run.child("sleep 600").kill()
    run.wait_for_line("unended")
    assert {"web      | one", "web      | two", "web      | unended"} <= set(run.log.splitlines())
    assert "\x1b" not in run.log


@pytest.mark.parametrize(
    "signals", [[signal.SIGTERM], [signal.SIGINT], [signal.SIGHUP], [signal.SIGINT, signal.SIGINT, signal.SIGTERM]]
)
def test_a_stop_ends_everything_with_exit_code_0(supervise: Supervise, signals: list[signal.Signals]) -> None:
    run = supervise({"name": "web", "shell": FOREVER}, {"name": "valkey", "shell": FOREVER, "stop_stage": "QUEUE"})
    run.wait_for_line("all is up")
    run.stop(*signals)
    assert run.process.returncode == 0
    assert run.log.rstrip().endswith("stopped")
    run.wait_until_nothing_is_left()


def test_the_queue_ends_after_those_that_use_it(supervise: Supervise) -> None:
    leave = "trap 'echo leaving; exit 0' TERM; echo up; while :; do sleep 0.02; done"
    run = supervise(
        {"name": "valkey", "shell": leave, "stop_stage": "QUEUE"},
        {"name": "comfyui", "shell": leave, "stop_stage": "STAND_INS"},
        {"name": "web", "shell": leave},
    )
    run.wait_for_line("up\n", times=4)
    run.stop()
    leaving = [line.split()[0] for line in run.log.splitlines() if line.endswith("| leaving")]
    assert leaving == ["web", "comfyui", "valkey"]


def test_a_child_that_is_deaf_to_sigterm_is_killed_in_time(supervise: Supervise) -> None:
    run = supervise({"name": "web", "shell": STUBBORN}, {"name": "beat", "shell": FOREVER}, patience_seconds=1)
    run.wait_for_line("deaf")
    assert run.stop() < 30
    assert "web did not stop in 1.5 s and is killed" in run.log
    assert "beat did not stop" not in run.log
    run.wait_until_nothing_is_left()


def test_a_second_signal_during_the_stop_changes_nothing(supervise: Supervise) -> None:
    run = supervise({"name": "web", "shell": STUBBORN}, patience_seconds=1)
    run.wait_for_line("deaf")
    run.process.send_signal(signal.SIGINT)
    run.wait_for_line("stopping")
    run.stop(signal.SIGINT, signal.SIGTERM)
    assert run.process.returncode == 0
    run.wait_until_nothing_is_left()


def test_a_grandchild_in_a_session_of_its_own_is_ended_by_a_stop(supervise: Supervise) -> None:
    run = supervise({"name": "worker", "shell": f"setsid sh -c '{STUBBORN.replace(chr(39), chr(34))}' & {FOREVER}"})
    run.wait_for_line("deaf")
    run.stop()
    assert "killed what was left behind" in run.log
    run.wait_until_nothing_is_left()


def test_an_orphan_that_hides_its_environment_is_ended_by_a_stop_too(supervise: Supervise) -> None:
    hide = "(env -i setsid sh -c 'echo orphan $$; exec sleep 602' &)"
    run = supervise({"name": "worker", "shell": f"{hide}; {FOREVER}"})
    run.wait_for_line("orphan")
    (pid,) = re.findall(r"orphan (\d+)", run.log)
    orphan = psutil.Process(int(pid))
    run.stop()
    eventually(lambda: not is_alive(orphan))


def test_a_group_does_not_outlive_the_child_that_led_it(supervise: Supervise) -> None:
    run = supervise({"name": "worker", "shell": "sleep 601 & echo begun; exec sleep 600"})
    run.wait_for_line("begun")
    follower = run.child("sleep 601")
    run.child("sleep 600").kill()
    run.wait_for_line("worker died")
    eventually(lambda: not follower.is_running())


def test_orphans_that_end_do_not_stay_as_zombies(supervise: Supervise) -> None:
    run = supervise({"name": "worker", "shell": f"(setsid sleep 0.2 &); echo begun; {FOREVER}"})
    run.wait_for_line("begun")
    eventually(lambda: not run.children("sleep 0.2"))
    eventually(lambda: not any(map(is_zombie, run.descendants())))


def test_a_kill_9_of_the_supervisor_leaves_nothing_behind(supervise: Supervise) -> None:
    run = supervise(
        {"name": "web", "shell": STUBBORN},
        {"name": "worker", "shell": f"setsid setsid sh -c '{STUBBORN.replace(chr(39), chr(34))}' & {FOREVER}"},
    )
    run.wait_for_line("deaf", times=2)
    run.wait_for_line("all is up")
    run.stop(signal.SIGKILL)
    run.wait_until_nothing_is_left()


def test_the_kernel_ends_the_children_even_when_the_guard_cannot(supervise: Supervise) -> None:
    run = supervise({"name": "web", "shell": STUBBORN})
    run.wait_for_line("deaf")
    run.wait_for_line("all is up")
    run.child("isengard.supervisor.guard").suspend()
    guard = run.child("isengard.supervisor.guard")
    web = run.child("deaf")
    run.stop(signal.SIGKILL)
    eventually(lambda: not is_alive(web))
    guard.resume()
