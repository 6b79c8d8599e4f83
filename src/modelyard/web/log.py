"""The log on standard error: one line of JSON for each event; text on a terminal, or where the settings say so.

The line of a request has route, status, microseconds, team and request id. It never has an API key, a query string or a
path without a route: these may have private data of the caller.
"""

import logging
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TextIO

import msgspec
import structlog
from structlog.typing import FilteringBoundLogger, Processor

_encoder = msgspec.json.Encoder(enc_hook=str)


class RequestLine(msgspec.Struct, frozen=True, kw_only=True):
    """The log line of a request. Only the method comes from the client."""

    event: str = "request"
    level: str = "info"
    timestamp: datetime
    method: str
    route: str | None
    status: int
    us: int
    team: str | None
    request_id: str
    # Who ended the response before it was whole, "client" or "server"; only of such a response.
    cut_off_by: str | msgspec.UnsetType = msgspec.UNSET


_TEXT_FIELDS = ("method", "route", "status", "us", "team", "request_id", "cut_off_by")


class Log:
    """The log of the process: ``events`` writes with structlog, ``requests`` with msgspec.

    Why two: structlog takes 10 µs for a line, which is a third of a request for models; msgspec takes 1 µs (2026-11).
    The lines look alike. Threads may share the log.
    """

    def __init__(self, level: str, stream: TextIO, form: str) -> None:
        self._stream = stream
        self._is_text = stream.isatty() if form == "auto" else form == "text"
        self._processors = _processors(is_text=self._is_text, colours=stream.isatty())
        self._wrapper = structlog.make_filtering_bound_logger(level)
        self.events: FilteringBoundLogger = structlog.wrap_logger(
            self._logger(), processors=self._processors, wrapper_class=self._wrapper
        ).bind()
        self._logs_requests = self.events.is_enabled_for(logging.INFO)

    def _logger(self, *_: object) -> structlog.WriteLogger:
        return structlog.WriteLogger(self._stream)

    def take_over(self) -> None:
        """Make this the log of the whole process, for other modules and libraries too."""
        structlog.configure(processors=self._processors, wrapper_class=self._wrapper, logger_factory=self._logger)
        handler = StandardLogging(self)
        for name, level in (("uvicorn", logging.INFO), ("asyncio", logging.WARNING)):
            library = logging.getLogger(name)
            library.handlers = [handler]
            library.setLevel(level)
            library.propagate = False
        # With a line for each request that is not valid HTTP, anybody could fill the disk.
        logging.getLogger("uvicorn.error").addFilter(_is_no_invalid_request)

    def requests(self, lines: Sequence[RequestLine]) -> None:
        """Log answered requests."""
        if not (lines and self._logs_requests):
            return
        if self._is_text:
            for line in lines:
                fields = {name: getattr(line, name) for name in _TEXT_FIELDS}
                present = {name: value for name, value in fields.items() if value is not msgspec.UNSET}
                self.events.info(line.event, **present)
            return
        self._stream.write(_encoder.encode_lines(lines).decode())
        self._stream.flush()


def open_log(level: str = "info", stream: TextIO | None = None, form: str = "auto") -> Log:
    """Return a log for ``stream`` (standard error by default) of events at or above ``level``.

    ``form`` is json, text, or auto: text on a terminal and JSON elsewhere.
    """
    return Log(level, stream or sys.stderr, form)


def _processors(*, is_text: bool, colours: bool) -> list[Processor]:
    common: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if is_text:
        return [*common, structlog.dev.ConsoleRenderer(colors=colours)]
    return [
        *common,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=lambda event, **_: _encoder.encode(event).decode()),
    ]


def _is_no_invalid_request(record: logging.LogRecord) -> bool:
    return record.msg != "Invalid HTTP request received."


class StandardLogging(logging.Handler):
    """Writes the records that libraries (uvicorn, asyncio) send to ``logging`` to the log."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        self._log.events.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)
