"""The event log."""

from simulator.core import Channel, ConstantBandwidth, Environment, EventLog


def test_log_of_two_transfers() -> None:
    env = Environment()
    channel = Channel(env, ConstantBandwidth(100.0), latency_s=0.5)
    log = EventLog()
    for name, n_bytes, start_s in (("a", 100.0, 0.0), ("b", 50.0, 0.0), ("c", 0.0, 1.0)):
        env.call_at(
            start_s,
            lambda name=name, n_bytes=n_bytes: (
                channel.transfer(  # type: ignore[misc]
                    n_bytes, on_done=lambda transfer: log.add(env.now, "done", name, transfer.bytes)
                )
                and None
            ),
        )
    env.run()
    assert log.times("done") == [("b", 1.5), ("c", 1.5), ("a", 2.0)]
    assert next(iter(log)) == (1.5, "done", "b", 50.0)
    assert len(log) == 3
    assert log.times("arrival") == []
