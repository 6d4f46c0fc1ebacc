"""ComfyUI's socket: live progress and hints that something changed. It may be deaf, late or dead at any time."""

import json
import logging
import queue
import threading
import time
from uuid import uuid4

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from generation.engines.comfyui.address import shown, without_fragment
from generation.engines.comfyui.messages import (
    Ended,
    Executing,
    Message,
    NamelessPreview,
    PreviewFrame,
    Stepped,
    parse_frame,
)
from generation.engines.comfyui.previews import PreviewBox

logger = logging.getLogger(__name__)

OPEN_SECONDS = 2.0
CLOSE_SECONDS = 0.5
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
PING_SECONDS = 20.0
# ComfyUI answers no ping while it holds Python's lock, for instance when it loads a model.
PONG_SECONDS = 60.0
MAX_FRAME_BYTES = 16 * 1024 * 1024
# Messages are hints: when nobody takes them, losing some costs nothing but detail.
MAX_WAITING_MESSAGES = 2000
FEATURES = json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}})


class ProgressSocket:
    """Reads the socket in a thread of its own and opens it again when it breaks.

    Each connection of a run has the same client id, so that it goes on hearing of the prompts that were submitted
    before. That is safe only one connection at a time: ComfyUI forgets an id when an older connection under it ends,
    also when it learns of that end late, and the newer one stays open and deaf. Whoever finds out calls `renew`.
    """

    def __init__(self, server_url: str, *, preview_seconds: float) -> None:
        self._url = "ws" + without_fragment(server_url).removeprefix("http") + "/ws"
        self._name = shown(server_url)
        self._messages: queue.Queue[Message] = queue.Queue(MAX_WAITING_MESSAGES)
        self._previews = PreviewBox(preview_seconds)
        self._executing: str | None = None
        self._closing = threading.Event()
        self._open = threading.Event()
        self._connection: ClientConnection | None = None
        self.client_id = uuid4().hex
        self.last_heard = time.monotonic()
        self._thread = threading.Thread(target=self._keep_open, name="comfyui-socket", daemon=True)
        self._thread.start()

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    def wait_until_open(self, seconds: float) -> bool:
        return self._open.wait(seconds)

    def next_message(self, seconds: float) -> Message | None:
        """Return the oldest message not taken yet, None when none comes within `seconds`."""
        try:
            return self._messages.get(timeout=seconds) if seconds > 0 else self._messages.get_nowait()
        except queue.Empty:
            return None

    def take_preview(self) -> PreviewFrame | None:
        """Return the newest preview, once."""
        return self._previews.take()

    def renew(self) -> None:
        """Open a new connection in place of one that seems deaf."""
        self._open.clear()
        connection = self._connection
        if connection is not None:
            connection.close()

    def close(self) -> None:
        self._closing.set()
        self.renew()
        self._thread.join(OPEN_SECONDS + CLOSE_SECONDS)

    def _keep_open(self) -> None:
        pause_seconds = FIRST_PAUSE_SECONDS
        while not self._closing.is_set():
            began = time.monotonic()
            try:
                self._listen_once()
            except (OSError, WebSocketException) as exc:
                logger.debug("The socket of %s is closed: %s", self._name, exc)
            self._open.clear()
            if time.monotonic() - began > LONGEST_PAUSE_SECONDS:
                pause_seconds = FIRST_PAUSE_SECONDS
            # Long enough, too, for the server to forget the old connection before it meets the next one.
            self._closing.wait(pause_seconds)
            pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)

    def _listen_once(self) -> None:
        with connect(
            f"{self._url}?clientId={self.client_id}",
            open_timeout=OPEN_SECONDS,
            close_timeout=CLOSE_SECONDS,
            ping_interval=PING_SECONDS,
            ping_timeout=PONG_SECONDS,
            max_size=MAX_FRAME_BYTES,
            compression=None,
            proxy=None,
        ) as connection:
            self._connection = connection
            self._executing = None
            if self._closing.is_set():
                return
            connection.send(FEATURES)
            self._listen(connection)

    def _listen(self, connection: ClientConnection) -> None:
        for frame in connection:
            self.last_heard = time.monotonic()
            # The first message says that the server has registered the id, so that nothing is missed from now on.
            self._open.set()
            message = parse_frame(frame)
            if message is not None:
                self._keep(message)

    def _keep(self, message: Message) -> None:
        match message:
            case NamelessPreview():
                # Previews of prompts without an owner go to everybody; while one of ours executes, no other does.
                if self._executing is not None:
                    self._previews.put(message.of(self._executing))
                return
            case PreviewFrame():
                self._previews.put(message)
                return
            case Executing() | Stepped():
                self._executing = message.prompt_id
            case Ended():
                self._executing = None
        try:
            self._messages.put_nowait(message)
        except queue.Full:
            logger.debug("A message of %s was dropped: nobody takes them", self._name)
