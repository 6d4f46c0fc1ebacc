"""How log lines look: JSON in production, one readable line elsewhere, both with what is bound to the context."""

import logging
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger


def _short_line(_logger: WrappedLogger, _name: str, event: EventDict) -> str:
    """Return `12:30:01 INFO  jobs.runner: Job finished [job=train-1 …]`, with the traceback below if there is one."""
    head = f"{event.pop('timestamp')} {event.pop('level').upper():<7} {event.pop('logger')}: {event.pop('event')}"
    trace = event.pop("exception", None)
    bound = " ".join(f"{key}={value}" for key, value in event.items() if not key.startswith("_"))
    return head + (f" [{bound}]" if bound else "") + (f"\n{trace}" if trace else "")


def _without_color(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    # uvicorn sends each line twice, once in terminal colours.
    event.pop("color_message", None)
    return event


def _in_one_line(record: logging.LogRecord) -> bool:
    """Keep the cause of what beat could not send: while Redis is away it tells it each time, with two stacks."""
    if str(record.msg).startswith("Message Error") and isinstance(record.args, tuple):
        record.msg, record.args, record.exc_info = "Message Error: %s", record.args[:1], None
    return True


def logging_config(*, level: str, is_json: bool) -> dict[str, Any]:
    """Return Django's LOGGING. What `structlog.contextvars` holds (correlation id, job) is on every line."""
    shared = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso" if is_json else "%H:%M:%S", utc=is_json),
        structlog.processors.format_exc_info,
        _without_color,
    ]
    last = structlog.processors.JSONRenderer(default=str) if is_json else _short_line
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": shared,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
            }
        },
        "filters": {"in_one_line": {"()": "django.utils.log.CallbackFilter", "callback": _in_one_line}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "celery.beat": {"level": "WARNING", "filters": ["in_one_line"]},
            # Every sweep would be a line; the runner tells what happens to jobs.
            "celery.app.trace": {"level": "WARNING"},
            "celery.worker.strategy": {"level": "WARNING"},
            "django.server": {"level": "WARNING"},
            "httpx": {"level": "WARNING"},
        },
    }
