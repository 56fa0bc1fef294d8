"""The event core: clock, shared channels, random streams, records."""

from simulator.compiled import check, is_compiled
from simulator.core.bandwidth import Bandwidth, ConstantBandwidth, TraceBandwidth, UniformBandwidth
from simulator.core.channel import Channel
from simulator.core.environment import (
    ARRIVAL,
    NORMAL,
    STEP_END,
    STEP_START,
    TRANSFER_DONE,
    URGENT,
    Call,
    Environment,
)
from simulator.core.errors import CoreError
from simulator.core.event_log import EventLog, LogEntry
from simulator.core.records import TEXT, Table
from simulator.core.streams import Streams
from simulator.core.tandem import Tandem
from simulator.core.transfer import Transfer
from simulator.core.waiting import with_timeout
from simulator.core.work_queue import Job, WorkQueue

__all__ = [
    "ARRIVAL",
    "NORMAL",
    "STEP_END",
    "STEP_START",
    "TEXT",
    "TRANSFER_DONE",
    "URGENT",
    "Bandwidth",
    "Call",
    "Channel",
    "ConstantBandwidth",
    "CoreError",
    "Environment",
    "EventLog",
    "Job",
    "LogEntry",
    "Streams",
    "Table",
    "Tandem",
    "TraceBandwidth",
    "Transfer",
    "UniformBandwidth",
    "WorkQueue",
    "with_timeout",
]

if is_compiled():
    check()
