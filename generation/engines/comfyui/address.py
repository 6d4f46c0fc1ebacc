"""A server's address: with what is needed to talk to it, and as it may be told."""

from urllib.parse import urldefrag, urlsplit


def without_fragment(server_url: str) -> str:
    """Return the address to talk to. The fragment tells the workers which GPU the server uses; it is no part of it."""
    return urldefrag(server_url).url.rstrip("/")


def host_of(server_url: str) -> str:
    """Return "host:port", without the name and password that may stand before it."""
    return urlsplit(server_url).netloc.rpartition("@")[2]


def shown(server_url: str) -> str:
    """Return the address without the name and password that may be in it."""
    parts = urlsplit(without_fragment(server_url))
    return parts._replace(netloc=host_of(server_url)).geturl()
