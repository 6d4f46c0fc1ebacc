"""The parts of the server, put together."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from generation.engines.simulator.execution import Workbench
from generation.engines.simulator.faults import Faults
from generation.engines.simulator.folders import Folders
from generation.engines.simulator.history import History
from generation.engines.simulator.hub import Hub
from generation.engines.simulator.inventory import Inventory
from generation.engines.simulator.placeholders import create_placeholders
from generation.engines.simulator.prompt_queue import PromptQueue
from generation.engines.simulator.release import Release
from generation.engines.simulator.worker import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    base_directory: Path
    lora_directory: Path | None
    step_seconds: float
    preview_method: str
    faults: tuple[str, ...]
    release: Release
    absent: tuple[str, ...]


class Server:
    """Everything that the routes need. To be made in the event loop's thread."""

    def __init__(self, options: Options) -> None:
        self.folders = Folders(options.base_directory, options.lora_directory)
        self.folders.create()
        self.release = options.release
        self.inventory = Inventory(options.absent)
        create_placeholders(self.folders, self.inventory)
        self.faults = Faults()
        self.faults.arm(options.faults)
        self.faults.carry_out_with(self._carry_out)
        self.history = History()
        self.queue = PromptQueue(lambda: self.hub.send_status())
        self.hub = Hub(asyncio.get_running_loop(), self.queue.remaining)
        bench = Workbench(
            folders=self.folders, faults=self.faults, step_seconds=options.step_seconds, release=options.release
        )
        self.residency = bench.residency
        self.worker = Worker(
            bench,
            queue=self.queue,
            history=self.history,
            hub=self.hub,
            preview_method=options.preview_method,
        )
        self.arguments = sys.argv

    def _carry_out(self, fault: str) -> None:
        actions = {
            "lose-queue": self._lose_queue,
            "deaf-sockets": self.hub.deafen,
            "drop-sockets": self.hub.drop,
        }
        actions[fault]()

    def _lose_queue(self) -> None:
        """Forget what a restart would forget; sockets stay open, so that nothing gives it away."""
        self.queue.forget()
        self.history.clear()
        self.worker.forget()
        self.hub.client_id = self.hub.last_node_id = None
