"""The line on which a worker hears its doorbells: what it cannot read there does it no harm."""

import logging
from queue import Empty
from typing import Any

from kombu.transport.redis import Channel

logger = logging.getLogger(__name__)

# What comes of reading text that is no JSON, or JSON that is no message.
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError)


class ForgivingChannel(Channel):
    """Celery ends its worker over a message that it cannot read, and the worker's runs with it."""

    def _brpop_read(self, **options: Any) -> Any:
        before = self._received()
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except UNREADABLE:
            # It is out of the queue already. If it was a ring, the sweep makes good for it.
            logger.exception("A message that cannot be read was dropped")
            for tag in self._received() - before:
                # A worker that waits for its end would take no other message.
                self.qos.reject(tag)
            raise Empty from None

    def _received(self) -> set[str]:
        """Return the tags of what was neither acknowledged nor rejected yet."""
        return set(self.qos._delivered or ())  # noqa: SLF001 (kombu has no public name for it)
