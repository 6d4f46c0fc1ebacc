"""The relay that other tests put between a client and a server does what it is told."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.conftest import wait_until
from tests.faults.proxy import Proxy

ANSWER_SECONDS = 60
DELAY_SECONDS = 0.15


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A relay to a server that says everything again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_echo_for_ever, args=(listener,), daemon=True).start()
        with Proxy(listener.getsockname()) as running:
            yield running
        listener.shutdown(socket.SHUT_RDWR)


def _echo_for_ever(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with connection:
        try:
            while said := connection.recv(100):
                connection.sendall(said)
        except OSError:
            return


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), ANSWER_SECONDS)


def answer_to(said: bytes, connection: socket.socket) -> bytes:
    connection.sendall(said)
    return connection.recv(100)


def stays_silent(connection: socket.socket) -> bool:
    connection.settimeout(0.1)
    try:
        return connection.recv(100) == b"never"
    except TimeoutError:
        return True
    finally:
        connection.settimeout(ANSWER_SECONDS)


def test_it_passes_on_what_is_said_and_the_end_of_it(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        assert answer_to(b"hello", connection) == b"hello"
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""
    wait_until(lambda: proxy.open_connections == 0, what="the end of the relay")


def test_a_cut_resets_what_is_open_and_the_next_connection_works(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        answer_to(b"hello", connection)
        assert proxy.cut() == 1
        with pytest.raises(ConnectionError):
            connection.recv(100)
    with connect(proxy) as connection:
        assert answer_to(b"again", connection) == b"again"


def test_a_frozen_connection_is_open_and_silent_until_it_is_healed(proxy: Proxy) -> None:
    with connect(proxy) as before:
        answer_to(b"hello", before)
        proxy.freeze()
        before.sendall(b"anybody?")
        with connect(proxy) as new:
            new.sendall(b"nobody?")
            assert stays_silent(before)
            assert stays_silent(new)
            proxy.heal()
            assert (before.recv(100), new.recv(100)) == (b"anybody?", b"nobody?")


def test_old_connections_can_be_frozen_while_new_ones_work(proxy: Proxy) -> None:
    with connect(proxy) as before:
        answer_to(b"hello", before)
        proxy.freeze(only_open=True)
        with connect(proxy) as new:
            assert answer_to(b"new", new) == b"new"
        before.sendall(b"anybody?")
        assert stays_silent(before)
        proxy.cut()
        with pytest.raises(ConnectionError):
            before.recv(100)


def test_it_refuses_connections_and_takes_them_again_at_the_same_port(proxy: Proxy) -> None:
    with connect(proxy) as before:
        answer_to(b"hello", before)
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
        with pytest.raises(ConnectionError):
            before.recv(100)
    proxy.heal()
    with connect(proxy) as after:
        assert answer_to(b"hello", after) == b"hello"


def test_a_delay_holds_everything_up(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        answer_to(b"hello", connection)
        proxy.delay(DELAY_SECONDS)
        sent_at = time.monotonic()
        assert answer_to(b"late", connection) == b"late"
        # There and back.
        assert time.monotonic() - sent_at >= 2 * DELAY_SECONDS
