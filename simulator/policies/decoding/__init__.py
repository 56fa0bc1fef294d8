"""How an answer is decoded."""

from simulator.policies.decoding.protocol import (
    QUESTION,
    Decoding,
    Generation,
    Piece,
    Question,
    check_generations,
    continued,
    own_text,
    visible_edges,
)

__all__ = [
    "QUESTION",
    "Decoding",
    "Generation",
    "Piece",
    "Question",
    "check_generations",
    "continued",
    "own_text",
    "visible_edges",
]
