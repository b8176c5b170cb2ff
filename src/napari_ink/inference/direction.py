"""Which way the layers are read, in one meaning and in the same words everywhere.

*Reversed* always means against the way the checkpoint was trained: a checkpoint that learned from
flipped windows gets flipped windows unless it is asked to reverse. What that comes to on disk is
said beside it, as the first and the last layer that the network sees.
"""

from __future__ import annotations


def is_flipped(reverse: bool, trained_flipped: bool) -> bool:
    """Whether the layers are read from last to first.

    Parameters
    ----------
    reverse : bool
        Against the way of training, as ``PredictionSettings.reverse_depth`` says.
    trained_flipped : bool
        What the checkpoint's ``reverse_depth`` says.
    """
    return reverse != trained_flipped


def reading_order(layers: tuple[int, int], flipped: bool) -> str:
    """``from layer 7 up to 22``, or ``from layer 22 down to 7``.

    Parameters
    ----------
    layers : tuple of int
        Window ``(first, end)``, half-open, in stored numbering.
    flipped : bool
        As :func:`is_flipped` gives it.
    """
    first, last = layers[0], layers[1] - 1
    return f"from layer {last} down to {first}" if flipped else f"from layer {first} up to {last}"


def direction(layers: tuple[int, int], reverse: bool, trained_flipped: bool) -> str:
    """``as trained, from layer 7 up to 22``, or ``reversed, from …``."""
    order = reading_order(layers, is_flipped(reverse, trained_flipped))
    return f"{'reversed' if reverse else 'as trained'}, {order}"
