"""A Jackson network of two stations with feedback, of SimPy's processes and resources on the project's clock.

Station 1 has one server, station 2 has two; who leaves station 2 goes back to station 1 with some probability. By
Jackson's theorem each station is an M/M/c queue at the rate that the traffic equations give it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import simpy

from simulator.core import Environment, Streams

ARRIVALS, FEEDBACK = 0.45, 0.25
SERVICE = (1.0, 2.0)
SERVERS = (1, 2)
REPLICATIONS, WARM_UP_S, END_S = 24, 400.0, 3000.0


class Network:
    """One replication; `areas` are the integrals of the numbers at the stations after the warm-up."""

    def __init__(self, replication: int) -> None:
        streams = Streams(seed=1, replication=replication)
        self.env = Environment()
        self.stations = [simpy.Resource(self.env, servers) for servers in SERVERS]
        self.arrivals = streams.stream("network/arrivals")
        self.service = [streams.stream(f"network/service/{station}") for station in range(2)]
        self.routing = streams.stream("network/routing")
        self.number = [0, 0]
        self.areas = [0.0, 0.0]
        self.since_s = [0.0, 0.0]
        self.response_s: list[float] = []
        self.env.process(self.source())
        self.env.run(until=END_S)
        for station in range(2):
            self.change(station, 0)

    def change(self, station: int, by: int) -> None:
        now_s = self.env.now
        self.areas[station] += self.number[station] * max(0.0, now_s - max(self.since_s[station], WARM_UP_S))
        self.since_s[station] = now_s
        self.number[station] += by

    def source(self) -> Iterator[Any]:
        while True:
            yield self.env.timeout(self.arrivals.exponential(1 / ARRIVALS))
            self.env.process(self.customer(self.env.now))

    def customer(self, arrival_s: float) -> Iterator[Any]:
        while True:
            for station in range(2):
                self.change(station, 1)
                with self.stations[station].request() as request:
                    yield request
                    yield self.env.timeout(self.service[station].exponential(SERVICE[station]))
                self.change(station, -1)
            if self.routing.random() >= FEEDBACK:
                break
        if arrival_s >= WARM_UP_S:
            self.response_s.append(self.env.now - arrival_s)


def mean_number(servers: int, load: float) -> float:
    """Mean number in an M/M/1 or M/M/2 queue."""
    return load / (1 - load) if servers == 1 else 2 * load / (1 - load**2)


@pytest.fixture(scope="module")
def networks() -> list[Network]:
    return [Network(replication) for replication in range(REPLICATIONS)]


def test_jackson_network(networks: list[Network], compare: Any) -> None:
    rate = ARRIVALS / (1 - FEEDBACK)
    numbers = [
        mean_number(servers, rate * service_s / servers)
        for servers, service_s in zip(SERVERS, SERVICE, strict=True)
    ]
    name = f"Jackson network, loads {rate * SERVICE[0]:g} and {rate * SERVICE[1] / 2:g}"
    for station, theory in enumerate(numbers):
        measured = [network.areas[station] / (END_S - WARM_UP_S) for network in networks]
        compare(name, f"mean number at station {station + 1}", theory, measured, 0.08)
    response_s = [float(np.mean(network.response_s)) for network in networks]
    compare(name, "mean time in the network", sum(numbers) / ARRIVALS, response_s, 0.06)
