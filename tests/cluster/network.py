"""A network that can be cut: TCP connections that go through this process, for each node its own."""

import asyncio
import contextlib
import threading
from enum import Enum


class Cut(Enum):
    """How a network fails: connections are reset and refused, or nothing comes through and nobody is told."""

    RESET = "reset"
    SILENT = "silent"


class Network:
    """What lies between one node and some ports of 127.0.0.1. All networks share one thread."""

    def __init__(self, targets: list[int]) -> None:
        self._targets = targets
        self._is_whole = asyncio.Event()
        self._is_refusing = False
        self._open: set[asyncio.StreamWriter] = set()
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.ports: list[int] = []

    def start(self) -> None:
        """Open a port for every target."""
        _run(self._start())

    def cut(self, how: Cut) -> None:
        """Cut all connections, and those to come."""
        _run(self._cut(how))

    def mend(self) -> None:
        """Let everything through; what was held back by silence arrives now."""
        _run(self._mend())

    def close(self) -> None:
        """Close all ports and connections."""
        _run(self._close())

    async def _start(self) -> None:
        self._is_whole.set()
        for target in self._targets:
            server = await asyncio.start_server(self._connector(target), "127.0.0.1", 0)
            self._servers.append(server)
            self.ports.append(server.sockets[0].getsockname()[1])

    def _connector(self, target: int):  # type: ignore[no-untyped-def] # a callback of asyncio
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                await self._connect(target, reader, writer)
            finally:
                self._tasks.discard(task)

        return connected

    async def _connect(self, target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_refusing:
            writer.transport.abort()
            return
        self._open.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            await self._is_whole.wait()
            answers, there = await asyncio.open_connection("127.0.0.1", target)
            self._open.add(there)
            pumps = [asyncio.create_task(self._pump(a, b)) for a, b in ((reader, there), (answers, writer))]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
        except OSError:
            pass
        finally:
            for end in (writer, there):
                if end is not None:
                    self._open.discard(end)
                    end.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                await self._is_whole.wait()
                target.write(data)
                await target.drain()

    async def _cut(self, how: Cut) -> None:
        if how is Cut.SILENT:
            self._is_whole.clear()
            return
        self._is_refusing = True
        for writer in list(self._open):
            writer.transport.abort()

    async def _mend(self) -> None:
        self._is_refusing = False
        self._is_whole.set()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        await self._cut(Cut.RESET)
        self._is_whole.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)


_loop = asyncio.new_event_loop()
_thread: list[threading.Thread] = []


def _run(work) -> None:  # type: ignore[no-untyped-def] # a coroutine that gives nothing
    if not _thread:
        _thread.append(threading.Thread(target=_loop.run_forever, name="network", daemon=True))
        _thread[0].start()
    asyncio.run_coroutine_threadsafe(work, _loop).result(60)
