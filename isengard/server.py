"""The web server of `make run`, and of the container: `python -m isengard.server`."""

from socket import socket
from types import FrameType

import uvicorn

from isengard import settings

KEEP_ALIVE_SECONDS = 20


class Server(uvicorn.Server):
    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Begin to answer. Here and not in `isengard.asgi`, which others than servers import too."""
        # As below: not before uvicorn has loaded the application.
        from isengard.databases.serving import serve_with_patience  # noqa: PLC0415

        serve_with_patience(settings.DATABASE_WAIT_SECONDS)
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Tell the streams to end first: uvicorn would wait out its whole grace for them, and then cut them off."""
        # Importable only once uvicorn has loaded the application, and with it Django.
        from jobs import streams  # noqa: PLC0415

        streams.close_all()
        super().handle_exit(sig, frame)


def main() -> None:
    config = uvicorn.Config(
        "isengard.asgi:application",
        host=settings.HOST,
        port=settings.PORT,
        loop="uvloop",
        http="httptools",
        # Django's logging is in force once the application is imported, which is before uvicorn says anything.
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        # Whom X-Forwarded-For is believed from is decided by TRUSTED_PROXIES, in one place.
        proxy_headers=False,
        backlog=2048,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(settings.SHUTDOWN_GRACE_SECONDS)),
    )
    Server(config).run()


if __name__ == "__main__":
    main()
