"""Whose code raised: the policy that a traceback leads through."""

from __future__ import annotations

import traceback
from types import FrameType, TracebackType

from simulator.policies.registry import DECISIONS, policies


def policy_in(raised_at: TracebackType | None) -> str | None:
    """Return decision and name of the innermost policy that a traceback leads through; None where there is none.

    A frame is a policy's where its ``self`` is one; else where its code stands in the module of one, such as that of a
    session that a policy has made.
    """
    frames = [frame for frame, _ in traceback.walk_tb(raised_at)][::-1]
    known = [(decision, name, cls) for decision in DECISIONS for name, cls in policies(decision).items()]
    for frame in frames:
        for decision, name, cls in known:
            if type(frame.f_locals.get("self")) is cls:
                return f"{decision} policy {name!r}"
    for frame in frames:
        found = [
            f"{decision} policy {name!r}" for decision, name, cls in known if cls.__module__ == _module(frame)
        ]
        if found:
            return " or ".join(found)
    return None


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
