"""Long chains of layers in letters: most pointwise functions are made of a few types."""

from __future__ import annotations

LETTERS = {
    "A": "AbsVal",
    "B": "Bias",
    "E": "Eltwise",
    "H": "TanH",
    "L": "Log",
    "P": "Power",
    "R": "ReLU",
    "S": "Scale",
    "T": "Threshold",
    "X": "Exp",
}


def chain(text: str) -> tuple[str, ...]:
    """Return a net of layer types in order: letters, and other types by their names."""
    return tuple(LETTERS.get(word, word) for word in text.split())
