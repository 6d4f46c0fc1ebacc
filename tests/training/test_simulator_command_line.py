from pathlib import Path

import pytest

from tests.training.simulator_bench import NAME, Bench, read_metadata


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_several_job_files_run_one_after_the_other(bench: Bench) -> None:
    bench.write_job()

    outcome = bench.run(str(bench.job_file), str(bench.job_file))

    assert outcome.code == 0
    assert outcome.out.startswith("Running 2 jobs\n")
    assert outcome.out.count(f"# Running job: {NAME}\n") == 2


def test_recovering_goes_on_after_a_failed_job(bench: Bench) -> None:
    bench.write_job()

    outcome = bench.run("-r", str(bench.folder / "missing.json"), str(bench.job_file))

    assert outcome.code == 0
    assert "Error running job: Could not find config file" in outcome.out
    assert bench.weights().exists()


def test_a_name_on_the_command_line_stands_for_the_tag_and_a_log_file_gets_all(bench: Bench) -> None:
    bench.name = "[name]"
    bench.write_job()
    log = bench.folder / "logs" / "all.txt"

    outcome = bench.run("-n", "eve", "-l", str(log), str(bench.job_file))

    assert outcome.code == 0
    assert "# Running job: eve\n" in outcome.out
    assert (bench.output.parent / "eve" / "eve.safetensors").exists()
    assert b"\reve: 100%|" in log.read_bytes()


def test_variables_in_a_job_file_are_replaced_from_the_environment(bench: Bench) -> None:
    bench.process["trigger_word"] = "${WHO}"

    outcome = bench.run(WHO="eve")

    assert outcome.code == 0
    assert "1_eve" in read_metadata(bench.weights())["ss_tag_frequency"]


def test_a_job_file_may_be_yaml_with_an_exponent_for_a_rate(bench: Bench) -> None:
    bench.write_job()
    path = bench.folder / "job.yaml"
    path.write_text(bench.job_file.read_text(encoding="utf-8").replace("0.0001", "1e-4"), encoding="utf-8")

    outcome = bench.run(str(path))

    assert outcome.code == 0
    assert "lr: 1.0e-04" in outcome.err


def test_the_raw_job_file_is_kept_beside_the_output(bench: Bench) -> None:
    bench.run()

    text = (bench.output / "config.yaml").read_text(encoding="utf-8")
    assert f"  name: {NAME}\n  process:\n  - type: sd_trainer\n" in text
    assert 'meta:\n  name: "[name]"\n' in text
