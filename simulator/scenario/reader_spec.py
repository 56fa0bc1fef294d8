"""Who reads the answers of an LLM service while they are streamed, as a scenario says it.

As in `simulator.scenario.spec`, field names are the keys of the YAML file and types carry the unit.
"""

from __future__ import annotations

from dataclasses import dataclass

from devices.quantity import PerSecond, Seconds


@dataclass(frozen=True, slots=True)
class ReaderSpec:
    """A reader's expectations: the timeline that a streamed answer is held against (docs/accounting.md)."""

    ttft: Seconds = 1.0
    """When the reader expects the first token, after having asked (assumed)."""
    tokens_per_s: PerSecond = 5.3
    """How fast the reader reads: 238 words per minute, the mean of silent reading of English non-fiction (Brysbaert
    2019, doi:10.1016/j.jml.2019.104047), at 4/3 tokens per word (assumed)."""
