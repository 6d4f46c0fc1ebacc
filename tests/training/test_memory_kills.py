"""The kernel's counters of what it killed for memory."""

from pathlib import Path

import pytest

from training.engines.aitoolkit.memory_kills import count_memory_kills, has_grown


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("cgroup", "file", "text"),
    [
        ("0::/isengard.slice/gpu\n", "cgroups/isengard.slice/gpu/memory.events", "low 0\noom 3\noom_kill {}\n"),
        ("4:memory:/docker/7\n3:cpu:/\n", "cgroups/memory/docker/7/memory.oom_control", "under_oom 0\noom_kill {}\n"),
        ("0::/\n", "cgroups/memory.events", "oom_kill {}\n"),
        ("0::/\n", "proc/vmstat", "nr_free_pages 7\noom_kill {}\npgfault 9\n"),
    ],
)
def test_a_kill_for_memory_is_seen_wherever_the_kernel_counts_it(
    cgroup: str, file: str, text: str, tmp_path: Path
) -> None:
    write(tmp_path / "proc" / "self" / "cgroup", cgroup)
    write(tmp_path / file, text.format(2))
    before = count_memory_kills(tmp_path / "proc", tmp_path / "cgroups")
    assert not has_grown(before, before)
    write(tmp_path / file, text.format(3))
    assert has_grown(before, count_memory_kills(tmp_path / "proc", tmp_path / "cgroups"))


def test_a_machine_without_counters_says_nothing(tmp_path: Path) -> None:
    assert not count_memory_kills(tmp_path, tmp_path)
    assert not has_grown({}, {})


def test_a_counter_that_appears_later_is_no_kill() -> None:
    assert not has_grown({}, {"memory.events": 5})


def test_this_machines_own_counters_can_be_read() -> None:
    assert all(count >= 0 for count in count_memory_kills().values())
