"""One training from its configuration to the finished LoRA, in the order of the real program."""

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

from . import faults
from .checkpoints import OutputFolder, announce_expansion, load_optimizer, read_checkpoint
from .conditions import Conditions
from .config import ProcessConfig
from .dataset import expand
from .examples import load_examples
from .job_file import JobFile
from .job_row import find_job_row
from .loop import Loop
from .loss_log import LossLog, Unlogged
from .model import create_network, load_assistant, load_model, refuse_unknown_sampler
from .optimizers import Optimizer, make_optimizer
from .sampling import sample
from .saving import save_final
from .schedules import Schedule, make_schedule
from .training_run import TrainingRun
from .weights import parameter_count
from .yaml_text import to_yaml


class TrainingProcess:
    def __init__(self, job_file: JobFile, given: dict[str, Any], conditions: Conditions) -> None:
        """Raise for the mistakes that are found before the job begins; its row is not touched then."""
        print(json.dumps(given, indent=4))
        folder = os.path.join(given.get("training_folder"), job_file.name)  # type: ignore[arg-type]  # noqa: PTH118
        output = OutputFolder(Path(folder), job_file.name)
        output.root.mkdir(parents=True, exist_ok=True)
        (output.root / "config.yaml").write_text(to_yaml(job_file.raw), encoding="utf-8")
        config = ProcessConfig.read(given)
        row = find_job_row(config, conditions.job_id)
        meta = job_file.content.get("meta") or {}
        self._run = TrainingRun(config=config, conditions=conditions, output=output, row=row, meta=meta)
        row.set_status("running", "Starting")

    def run(self) -> None:
        run = self._run
        if "grandchild" in run.conditions.faults:
            faults.leave_grandchild()
        if "daemon" in run.conditions.faults:
            faults.leave_daemon()
        self._load_model()
        is_resumed = self._resume()
        optimizer, schedule = self._prepare_optimizer(is_resumed=is_resumed)
        self._load_dataset()
        self._sample_baseline()
        run.row.stop_if_asked()
        run.row.set_value("step", run.step)
        run.row.set_status("running", "Training")
        self._train(optimizer, schedule)
        run.row.set_status("completed", "Training completed")

    def record_failure(self, error: BaseException) -> None:
        """Tell the row how it ended. A database that fails as well is only mentioned: the first error matters."""
        try:
            self._run.row.record_failure(error, last_save_step=self._run.last_save_step)
        except sqlite3.Error as exc:
            print(f"[AITK] Warning: failed to update DB during error handling: {exc}")

    def _load_model(self) -> None:
        run, config = self._run, self._run.config
        run.row.stop_if_asked()
        run.row.set_status("running", "Loading model")
        refuse_unknown_sampler(config.train.noise_scheduler)
        architecture = load_model(config.model, config.train, conditions=run.conditions, announce=run.announce)
        if config.model.assistant_lora_path:
            load_assistant(config.model.assistant_lora_path, architecture)
        create_network(config.network, architecture)

    def _resume(self) -> bool:
        """Go on from the newest save, if there is one. Raise SafetensorError where it is not whole."""
        run, path = self._run, self._run.output.newest_save()
        if path is not None:
            print(f"#### IMPORTANT RESUMING FROM {path} ####")
            print(f"Loading from {path}")
            checkpoint = read_checkpoint(path)
            announce_expansion(checkpoint.shapes, run.shapes)
            print("Missing keys: []")
            if checkpoint.step is not None:
                print(f"Found step {checkpoint.step} in metadata, starting from there")
                run.start_step = checkpoint.step
        if run.config.train.start_step is not None:
            run.start_step = run.config.train.start_step
        run.step = run.last_save_step = run.start_step
        return path is not None

    def _prepare_optimizer(self, *, is_resumed: bool) -> tuple[Optimizer, Schedule]:
        run = self._run
        optimizer = make_optimizer(run.config.train, parameter_count(run.architecture, run.config.network.rank))
        if is_resumed:
            load_optimizer(run.output.optimizer, run.config.network.rank)
            print("Updating optimizer LR from params")
        return optimizer, make_schedule(run.config.train)

    def _load_dataset(self) -> None:
        run = self._run
        run.row.stop_if_asked()
        run.row.set_status("running", "Loading dataset")
        config = run.config
        datasets = expand(config.datasets, trigger_word=config.trigger_word, caches_text=config.train.caches_text)
        run.examples = load_examples(datasets, run.conditions)
        run.row.set_status("running", "Training")

    def _sample_baseline(self) -> None:
        train = self._run.config.train
        if train.is_first_sample_skipped or train.is_sampling_disabled:
            print("Skipping first sample due to config setting")
        elif self._run.step <= 1 or train.is_first_sample_forced:
            print("Generating baseline samples before training")
            sample(self._run)

    def _train(self, optimizer: Optimizer, schedule: Schedule) -> None:
        run = self._run
        has_log = run.config.logging.has_ui_logger
        loss_log = LossLog(run.output.root / "loss_log.db") if has_log else Unlogged()
        Loop(run, optimizer, schedule, loss_log).run()
        save_final(run)
        if not run.config.train.is_sampling_disabled:
            sample(run)
        print()
        loss_log.finish()
