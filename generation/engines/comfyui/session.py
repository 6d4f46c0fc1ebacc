"""What all parts of one run share: the order, the server, and the clocks."""

import threading
from collections.abc import Callable, Generator
from typing import TypeVar

from generation.engines.comfyui.address import host_of
from generation.engines.comfyui.background import Background
from generation.engines.comfyui.client import Client
from generation.engines.comfyui.images import Images
from generation.engines.comfyui.limits import Limits
from generation.engines.comfyui.narrator import Narrator
from generation.engines.comfyui.socket import ProgressSocket
from generation.engines.comfyui.watch import Watch
from generation.engines.order import GenerationOrder
from jobs.events import Event

T = TypeVar("T")


class Session:
    def __init__(self, order: GenerationOrder, images: Images, *, limits: Limits) -> None:
        self.order = order
        self.images = images
        self.limits = limits
        self.host = host_of(order.server_url)
        self.narrator = Narrator(order, images)
        self.watch = Watch(limits)
        self.client = Client(order.server_url, read_seconds=limits.read_seconds)
        self.socket = ProgressSocket(order.server_url, preview_seconds=limits.preview_seconds)
        self.stop = threading.Event()
        """Set when nobody wants the results any more."""
        self._background = Background(limits.tick_seconds)

    def ask(self, call: Callable[[], T]) -> Generator[Event, None, T]:
        """Call something that blocks, ticking meanwhile. What `call` raises is raised."""
        answer = yield from self._background.run(call)
        return answer

    def close_calls(self) -> None:
        """Let the call that is under way end, start no other, and hang up the socket."""
        self.stop.set()
        self._background.close()
        self.socket.close()
