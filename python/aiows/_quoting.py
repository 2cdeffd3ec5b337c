"""How errors quote the values that they are about."""

from __future__ import annotations

__all__ = ["quoted", "shortened"]

_MOST = 200  # characters


def shortened(text: str) -> str:
    """Return text, or its beginning and three dots when it is long."""
    return text if len(text) <= _MOST else f"{text[:_MOST]}..."


def quoted(value: object) -> str:
    """Return value as repr writes it, shortened; it never fails."""
    try:
        text = repr(value)
    except Exception:  # an int of too many digits, or a __repr__ that is wrong
        return object.__repr__(value)
    return text if len(text) <= _MOST else shortened(text) + text[-1]
