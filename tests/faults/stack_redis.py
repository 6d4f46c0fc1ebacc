"""The private Redis of a stack, for tests that look into it or spoil it."""

from redis import Redis

from tests.stack import Stack


def redis_of(stack: Stack) -> Redis:
    (server,) = stack.processes("valkey-server")
    words = server.cmdline()
    # Valkey writes where it listens into the name of its process; before that, its arguments say it.
    socket = next(word for part in words for word in part.split() if word.endswith("valkey.sock"))
    return Redis(unix_socket_path=socket.removeprefix("unixsocket:"))
