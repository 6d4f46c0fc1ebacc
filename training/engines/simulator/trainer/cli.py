"""The command line: `run.py [-n NAME] [-l LOG] [-r] CONFIG...`, one job after the other."""

import argparse
import io
import sys
from pathlib import Path
from typing import TextIO, cast

from .conditions import Conditions, read_conditions
from .faults import ignore_interrupts, ignore_terminations
from .job_file import read_job_file
from .process import TrainingProcess

TRAINERS = ("sd_trainer", "diffusion_trainer", "ui_trainer")
RULE = "=" * 40
IMPORT_STEPS = 2.0
# What libraries say on a machine without a GPU, of which nothing follows.
WARNINGS = (
    "Failed to load CPU gemm_4bit_forward from kernels-community: No module named 'kernels'. Please make sure you"
    " already `pip install kernels` and the kernels >= 0.11.1\n"
    "WARNING:torchao.kernel.intmm:Warning: Detected no triton, on systems without Triton certain kernels will not"
    " work\n"
)
NO_JOB_YET = "cannot access local variable 'job' where it is not associated with a value"


class Tee(io.TextIOBase):
    """Write to a stream and to the log file that was asked for."""

    def __init__(self, stream: TextIO, log: TextIO) -> None:
        self._stream, self._log = stream, log

    def write(self, text: str) -> int:
        self._log.write(text)
        return self._stream.write(text)

    def flush(self) -> None:
        self._log.flush()
        self._stream.flush()


class Job:
    """All processes of one job file. `processes` is filled first, so that a failure finds whom to tell."""

    def __init__(self, argument: str, name: str | None, conditions: Conditions) -> None:
        job_file = read_job_file(argument, name)
        if "missing-dependency" in conditions.faults:
            # Every extension is imported at the start, also those that the job has no use for.
            raise ModuleNotFoundError("No module named 'controlnet_aux'", name="controlnet_aux")
        if job_file.content["job"] != "extension":
            raise ValueError(f"Unknown job type {job_file.content['job']}")
        self.name = job_file.name
        self.processes: list[TrainingProcess] = []
        for given in job_file.processes:
            if given.get("type") not in TRAINERS:
                raise ValueError(f"config file is invalid. Unknown process type: {given.get('type')}")
            self.processes.append(TrainingProcess(job_file, given, conditions))

    def run(self) -> None:
        rule = "#" * 45
        print(f"\n{rule}\n# Running job: {self.name}\n{rule}\n\n")
        print(f"Running  {len(self.processes)} process{'' if len(self.processes) == 1 else 'es'}")
        for process in self.processes:
            process.run()


def main() -> None:
    parser = _make_parser()
    arguments = parser.parse_args()
    try:
        conditions = read_conditions()
    except ValueError as exc:
        parser.error(str(exc))
    if "ignore-sigint" in conditions.faults:
        ignore_interrupts()
    if "ignore-sigterm" in conditions.faults:
        ignore_terminations()
    if arguments.log is not None:
        _log_to_file(arguments.log)
    conditions.pace.wait(IMPORT_STEPS)
    sys.stderr.write(WARNINGS)
    _run_jobs(arguments, conditions)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="A stand-in for ai-toolkit that trains nothing.")
    parser.add_argument("config_file_list", nargs="+", help="job files, as paths or as names in the config folder")
    parser.add_argument("-r", "--recover", action="store_true", help="go on with the next job when one fails")
    parser.add_argument("-n", "--name", help="what [name] in the job files stands for")
    parser.add_argument("-l", "--log", help="a file that receives all output as well")
    return parser


def _log_to_file(name: str) -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    log = path.open("a", encoding="utf-8")
    sys.stdout = cast(TextIO, Tee(sys.stdout, log))
    sys.stderr = cast(TextIO, Tee(sys.stderr, log))


def _run_jobs(arguments: argparse.Namespace, conditions: Conditions) -> None:
    """Raise the error of the first job that fails; an interrupt ends everything and counts as success."""
    files = arguments.config_file_list
    completed = failed = 0
    print(f"Running {len(files)} job{'' if len(files) == 1 else 's'}")
    for file in files:
        job: Job | None = None
        try:
            conditions.pace.wait(IMPORT_STEPS)
            job = Job(file, arguments.name, conditions)
            job.run()
            completed += 1
        except Exception as exc:
            failed += 1
            print(f"Error running job: {exc}")
            _record_failure(job, exc)
            if not arguments.recover:
                _print_result(completed, failed)
                raise
        except KeyboardInterrupt as exc:
            _record_failure(job, exc)
            print(f"\n{RULE}\nJob stopped\n{RULE}")
            return


def _record_failure(job: Job | None, error: BaseException) -> None:
    if job is None:
        print(f"Error running on_error: {NO_JOB_YET}")
    else:
        job.processes[0].record_failure(error)


def _print_result(completed: int, failed: int) -> None:
    print(f"\n{RULE}\nResult:")
    print(f" - {completed} completed job{'' if completed == 1 else 's'}")
    print(f" - {failed} failure{'' if failed == 1 else 's'}\n{RULE}")
