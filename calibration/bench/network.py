"""TCP over the loopback interface: bandwidth by message size and streams, and round trips of small messages.

The other end is a process of its own, so that the two do not share one interpreter lock.
"""

from __future__ import annotations

import multiprocessing
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from calibration.bench.harness import Options, Parameters, Point, Prepare, Trial

REQUIRES: tuple[str, ...] = ()

MESSAGES = (1024, 4096, 16384, 65536, 262144, 2**20, 2**22)
"""Message sizes in bytes."""

STREAMS = (1, 2, 4)
"""Connections at a time."""

ROUND_TRIPS = (64, 1024, 16384, 65536)
"""Message sizes that go to the other end and back."""

TRIAL_BYTES = 2**26
TRIAL_MESSAGES = 2000
TRIAL_ROUND_TRIPS = 200
"""A trial ends after so many bytes or messages."""

_ORDER = struct.Struct("!QQ?")
"""What the first bytes of a connection say: message size, messages, whether each comes back."""


def grid(options: Options) -> list[tuple[str, Parameters]]:
    """Streams of messages by size and number of connections, then round trips."""
    messages, streams, trips = (
        ((1024, 65536), (1, 2), (64,)) if options.quick else (MESSAGES, STREAMS, ROUND_TRIPS)
    )
    points: list[Parameters] = [
        {"pattern": "stream", "message_bytes": size, "streams": number}
        for number in streams
        for size in messages
    ]
    points += [{"pattern": "round_trip", "message_bytes": size, "streams": 1} for size in trips]
    return [("network", parameters) for parameters in points]


@contextmanager
def session(options: Options) -> Iterator[Prepare]:
    """Start the other end, prepare transfers, end it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    theirs.close()
    try:
        address = ("127.0.0.1", int(ours.recv()))

        def prepare(name: str, parameters: Parameters) -> Point:
            size, streams = int(parameters["message_bytes"]), int(parameters["streams"])
            if parameters["pattern"] == "round_trip":
                return Point("latency", "s", _round_trips(address, size))
            return Point("bandwidth", "B/s", _streams(address, size, streams))

        yield prepare
    finally:
        server.terminate()
        server.join()
        ours.close()


def _streams(address: tuple[str, int], size: int, streams: int) -> Trial:
    count = max(1, min(TRIAL_BYTES // size, TRIAL_MESSAGES))
    message = bytes(size)

    def send(connection: socket.socket) -> None:
        for _ in range(count):
            connection.sendall(message)
        _receive(connection, memoryview(bytearray(1)))  # the other end has got all

    def trial() -> float:
        connections = [_connect(address, size, count, back=False) for _ in range(streams)]
        threads = [threading.Thread(target=send, args=(connection,)) for connection in connections]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed = time.perf_counter() - start
        for connection in connections:
            connection.close()
        return streams * count * size / elapsed

    return trial


def _round_trips(address: tuple[str, int], size: int) -> Trial:
    message, answer = bytes(size), memoryview(bytearray(size))

    def trial() -> float:
        with _connect(address, size, TRIAL_ROUND_TRIPS, back=True) as connection:
            start = time.perf_counter()
            for _ in range(TRIAL_ROUND_TRIPS):
                connection.sendall(message)
                _receive(connection, answer)
            return (time.perf_counter() - start) / TRIAL_ROUND_TRIPS

    return trial


def _connect(address: tuple[str, int], size: int, count: int, back: bool) -> socket.socket:
    connection = socket.create_connection(address)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(_ORDER.pack(size, count, back))
    return connection


def _receive(connection: socket.socket, buffer: memoryview) -> None:
    """Fill `buffer`; RuntimeError where the other end has gone."""
    got = 0
    while got < len(buffer):
        number = connection.recv_into(buffer[got:])
        if not number:
            raise RuntimeError("network: the other end has gone")
        got += number


def _serve(parent: Connection) -> None:
    """Accept connections for ever, and tell the parent on which port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        parent.send(server.getsockname()[1])
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        first = memoryview(bytearray(_ORDER.size))
        _receive(connection, first)
        size, count, back = _ORDER.unpack(first)
        message = memoryview(bytearray(size))
        for _ in range(count):
            _receive(connection, message)
            if back:
                connection.sendall(message)
        if not back:
            connection.sendall(b"\0")
