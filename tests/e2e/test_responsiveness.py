"""Uploads and downloads hold nobody up: /health answers while photos come in and go out."""

import http.client
import io
import socket
import statistics
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from time import perf_counter

import pytest
import requests
from PIL import Image
from urllib3 import encode_multipart_formdata

from isengard.asgi import THREADS
from tests.api_client import Api
from tests.conftest import wait_until
from tests.stack import Stack

pytestmark = pytest.mark.stack

LIMIT_SECONDS = 0.2
# Where a probe of an idle Isengard is slow already, the machine is busy with other things.
TIMES_SLOWER_THAN_IDLE = 5
# What else the machine does can only delay an answer: one quick measurement is a proof, a slow one is none.
MEASUREMENTS = 3
PROBES = 60
PHOTOS = 20
TIMEOUT_SECONDS = 120
SLOW_READ_BYTES = 8192
# Four megabytes in minutes: longer than any measurement.
SLOW_READ_SECONDS = 0.3


def twelve_megapixels() -> bytes:
    """Return a JPEG of four megabytes, as a camera writes them: with noise, which a compressor cannot wish away."""
    noise = Image.effect_noise((4000, 3000), 20)
    shade = Image.linear_gradient("L").resize(noise.size)
    content = io.BytesIO()
    Image.merge("RGB", (noise, noise.transpose(Image.Transpose.ROTATE_180), shade)).save(content, "JPEG", quality=85)
    return content.getvalue()


def with_comment(jpeg: bytes, text: bytes) -> bytes:
    """Return the same photo as other bytes, so that it is not recognised."""
    return jpeg[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[2:]


@pytest.fixture(scope="module")
def jpeg() -> bytes:
    return twelve_megapixels()


@pytest.fixture
def gallery(api: Api, jpeg: bytes) -> Iterator[str]:
    """Return the path of a character's images, with one photo in it; they are many megabytes, so they go again."""
    body = {"name": "Ann", "trigger_word": "ann_person"}
    character = api.call("POST", "/api/characters", expect=201, json=body).json()["id"]
    path = f"/api/characters/{character}/images"
    api.call("POST", path, expect=201, files=[("files", ("first.jpg", jpeg, "image/jpeg"))])
    yield path
    api.call("DELETE", f"/api/characters/{character}", expect=204)


def health_seconds(stack: Stack) -> float:
    """Ask as a probe does, on a connection of its own, and return how long the answer took."""
    begun = perf_counter()
    with closing(http.client.HTTPConnection("127.0.0.1", stack.port, timeout=TIMEOUT_SECONDS)) as connection:
        connection.request("GET", "/health")
        assert connection.getresponse().status == 200
    return perf_counter() - begun


def high_quantile(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1]


def limit_seconds(stack: Stack) -> float:
    idle = [health_seconds(stack) for _ in range(40)]
    return max(LIMIT_SECONDS, TIMES_SLOWER_THAN_IDLE * high_quantile(idle))


class SlowDownload:
    """A client that takes some 27 kB a second, until it is let go."""

    def __init__(self, stack: Stack, path: str) -> None:
        self.received = 0
        self.is_at_its_end = False
        self._letting_go = threading.Event()
        self._connection = socket.socket()
        # Set before it connects: a wide window would let the kernel take in the whole file at once.
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_READ_BYTES)
        self._connection.settimeout(TIMEOUT_SECONDS)
        self._connection.connect(("127.0.0.1", stack.port))
        self._connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while not self.is_at_its_end and not self._letting_go.wait(SLOW_READ_SECONDS):
            received = self._connection.recv(SLOW_READ_BYTES)
            self.received += len(received)
            self.is_at_its_end = not received

    def let_go(self) -> None:
        self._letting_go.set()
        # It may wait for the first byte of an answer that no thread has been free to begin.
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        self._thread.join()
        self._connection.close()


@contextmanager
def slow_downloads(stack: Stack, path: str, *, count: int) -> Iterator[list[SlowDownload]]:
    """Hold as many threads of the server as there are, or as `count`."""
    downloads = [SlowDownload(stack, path) for _ in range(count)]
    try:
        at_work = min(count, THREADS)
        wait_until(lambda: sum(download.received > 0 for download in downloads) >= at_work, what="the downloads")
        yield downloads
        assert not any(download.is_at_its_end for download in downloads)
    finally:
        for download in downloads:
            download.let_go()
        for download in downloads:
            download.join()


def upload(stack: Stack, path: str, photos: list[bytes]) -> dict:
    files = [("files", (f"{n}.jpg", photo, "image/jpeg")) for n, photo in enumerate(photos)]
    body, content_type = encode_multipart_formdata(files)
    headers = {"Content-Type": content_type}
    answer = requests.post(stack.url + path, data=body, headers=headers, timeout=TIMEOUT_SECONDS)
    assert answer.status_code == 201, answer.text
    return answer.json()


def probe_until_done(stack: Stack, uploads: list[Future]) -> list[float]:
    seconds = []
    while wait(uploads, timeout=0.02).not_done:
        seconds.append(health_seconds(stack))
    return seconds


def trouble_with(seconds: list[float], *, limit: float) -> str:
    """Say how slow the probes were; "" if they were quick."""
    if len(seconds) < 20:
        return f"only {len(seconds)} probes"
    median, high = statistics.median(seconds), high_quantile(seconds)
    if high <= limit and median <= limit / 2:
        return ""
    return f"median {median:.3f} s, p95 {high:.3f} s of {len(seconds)} probes, limit {limit:.3f} s"


def assert_quick(stack: Stack, measure: Callable[[int], list[float]]) -> None:
    """`measure` gets its number, and returns how long each probe took."""
    told = []
    for number in range(MEASUREMENTS):
        limit = limit_seconds(stack)
        seconds = measure(number)
        trouble = trouble_with(seconds, limit=max(limit, limit_seconds(stack)))
        if not trouble:
            return
        told.append(trouble)
    pytest.fail("; ".join(told))


def test_health_is_quick_while_four_download_slowly_and_one_uploads_twenty_photos(
    stack: Stack, gallery: str, jpeg: bytes
) -> None:
    def measure(number: int) -> list[float]:
        photos = [with_comment(jpeg, b"photo %d of %d" % (n, number)) for n in range(PHOTOS)]
        with slow_downloads(stack, f"{gallery}/first.jpg", count=4), ThreadPoolExecutor(1) as pool:
            uploading = pool.submit(upload, stack, gallery, photos)
            seconds = probe_until_done(stack, [uploading])
        assert len(uploading.result()["uploaded"]) == PHOTOS
        return seconds

    assert_quick(stack, measure)


def test_health_is_quick_while_the_twenty_photos_come_all_at_once(stack: Stack, gallery: str, jpeg: bytes) -> None:
    def measure(number: int) -> list[float]:
        photos = [with_comment(jpeg, b"photo %d of %d" % (n, number)) for n in range(PHOTOS)]
        with slow_downloads(stack, f"{gallery}/first.jpg", count=4), ThreadPoolExecutor(PHOTOS) as pool:
            uploads = [pool.submit(upload, stack, gallery, [photo]) for photo in photos]
            seconds = probe_until_done(stack, uploads)
        assert all(len(done.result()["uploaded"]) == 1 for done in uploads)
        return seconds

    assert_quick(stack, measure)


def test_health_is_quick_while_slow_downloads_hold_every_thread(stack: Stack, gallery: str) -> None:
    def measure(_: int) -> list[float]:
        with slow_downloads(stack, f"{gallery}/first.jpg", count=2 * THREADS):
            return [health_seconds(stack) for _ in range(PROBES)]

    assert_quick(stack, measure)
