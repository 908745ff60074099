"""Figures with fixed meanings: black is the floor, orange the baseline, blue ours.

The colours are those of Okabe and Ito, which readers with any common colour blindness can tell
apart; meanings are also carried by line styles and by direct labels.

Source: M. Okabe and K. Ito, "Color Universal Design", 2002.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FLOOR = "#000000"
BASELINE = "#E69F00"
OURS = "#0072B2"
CYCLE = (OURS, "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#7F7F7F")
"""For several models of ours in one figure; it begins with `OURS` and avoids the other two."""


def learning_curve(
    curves: Mapping[str, Any],
    *,
    floor: float | None = None,
    baselines: Mapping[str, float] | None = None,
    unit: str = "nats per character",
    ax: Axes | None = None,
) -> Axes:
    """Plot validation loss against training steps, with the lines it should be read against.

    Args:
        curves: name to curve; a curve has `steps` and `valid` (and `train`, drawn thin and
            dotted where it is not empty), such as `training.Curve`. Losses in nats per token.
        floor: the entropy that no model can go below, in the same unit.
        baselines: name to loss, drawn as horizontal lines.
        unit: the unit of the losses, for the axis label.
        ax: where to draw; a new figure if None.

    Returns:
        The axes.

    Raises:
        ValueError: if there is no curve, a curve is empty, or a line's value is not finite.
    """
    if not curves:
        raise ValueError("learning_curve needs at least one curve, got none")
    if empty := [name for name, curve in curves.items() if not len(curve.steps)]:
        raise ValueError(f"these curves have no entry: {empty}")
    ax = _axes(ax)
    dotted = False
    for i, (name, curve) in enumerate(curves.items()):
        colour = CYCLE[i % len(CYCLE)]
        ax.plot(curve.steps, curve.valid, color=colour, marker="o", markersize=3, label=name)
        if len(getattr(curve, "train", ())) == len(curve.steps):
            ax.plot(curve.steps, curve.train, color=colour, linestyle=":", linewidth=1)
            dotted = True
    if dotted:
        ax.plot([], [], color="#555555", linestyle=":", linewidth=1, label="in training")
    for name, value in (baselines or {}).items():
        reference_line(ax, value, name, color=BASELINE)
    if floor is not None:
        reference_line(ax, floor, "floor", color=FLOOR)
    ax.set_xlabel("training steps")
    ax.set_ylabel(unit)
    ax.legend(loc="upper right")
    return ax


def reference_line(ax: Axes, value: float, label: str, *, color: str = FLOOR) -> None:
    """Draw a horizontal line at `value`, labelled on the line itself.

    The floor is dashed, anything else dash-dotted, so that the meaning survives without colour.
    """
    if not np.isfinite(value):
        raise ValueError(f"the reference line {label!r} must be at a finite value, got {value!r}")
    below = color == FLOOR  # nothing is drawn there
    ax.axhline(value, color=color, linestyle="--" if below else "-.", linewidth=1.4)
    ax.annotate(
        f"{label} {value:.3f}",
        xy=(1.0, value),
        xycoords=("axes fraction", "data"),
        xytext=(-4, -3 if below else 3),
        textcoords="offset points",
        horizontalalignment="right",
        verticalalignment="top" if below else "bottom",
        color="black",
        fontsize=10,
    )


def bars(
    values: Mapping[str, float],
    *,
    label: str,
    colors: Mapping[str, str] | None = None,
    floor: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw one horizontal bar a name, each labelled with its value.

    Args:
        values: name to value, drawn from top to bottom.
        label: what the values are, with their unit.
        colors: name to colour; `OURS` where a name is missing.
        floor: a vertical dashed line that no bar can be shorter than.
        ax: where to draw; a new figure if None.

    Returns:
        The axes.

    Raises:
        ValueError: if there is no value, one is not finite, or `colors` names a bar that is not
            there.
    """
    if not values:
        raise ValueError("bars needs at least one value, got none")
    lengths = dict(values) if floor is None else {**values, "floor": floor}
    if wrong := {name: value for name, value in lengths.items() if not np.isfinite(value)}:
        raise ValueError(f"bars must be finite, got {wrong}")
    colors = dict(colors or {})
    if unknown := sorted(set(colors) - set(values)):
        raise ValueError(f"colors names {unknown}, which are not among {list(values)}")
    ax = _axes(ax)
    names = list(values)
    drawn = ax.barh(names, list(values.values()), color=[colors.get(n, OURS) for n in names])
    ax.bar_label(drawn, fmt="%.3f", padding=3, fontsize=10)
    ax.margins(x=0.15)
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.set_xlabel(label)
    if floor is not None:
        ax.axvline(floor, color=FLOOR, linestyle="--", linewidth=1.4)
    return ax


def intervals(
    values: Mapping[str, tuple[float, float, float]],
    *,
    label: str,
    colors: Mapping[str, str] | None = None,
    limit: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a dot and its spread for each name, on a logarithmic axis, labelled with the value.

    Args:
        values: name to lower quartile, median and upper quartile, drawn from top to bottom; all
            positive.
        label: what the values are, with their unit.
        colors: name to colour; `BASELINE` where a name is missing.
        limit: a vertical dashed line at what no dot can pass.
        ax: where to draw; a new figure if None.

    Returns:
        The axes.

    Raises:
        ValueError: if there is no value, or one is not positive and finite or out of order.
    """
    if not values:
        raise ValueError("intervals needs at least one value, got none")
    for name, quartiles in values.items():
        low, middle, high = quartiles
        if not 0 < low <= middle <= high < np.inf:
            raise ValueError(f"{name!r} must have positive quartiles in order, got {quartiles}")
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    ax = _axes(ax)
    ax.set_xscale("log")
    wide = max(max(q) for q in values.values()) > 10 * min(min(q) for q in values.values())
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 3) if wide else (1, 2, 5), numticks=8))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.10g}"))
    for place, (name, (low, middle, high)) in enumerate(values.items()):
        color = (colors or {}).get(name, BASELINE)
        marker = "o" if color == BASELINE else "D"
        ax.plot([low, high], [place, place], color=color, linewidth=3, solid_capstyle="butt")
        ax.plot([middle], [place], color=color, marker=marker, markersize=7)
        ax.annotate(
            _plain(middle),
            (high, place),
            xytext=(7, 0),
            textcoords="offset points",
            verticalalignment="center",
            fontsize=10,
        )
    ax.set_yticks(range(len(values)), list(values))
    ax.set_ylim(len(values) - 0.4, -0.6)
    ax.margins(x=0.2)
    ax.grid(visible=False, axis="y")
    ax.set_xlabel(label)
    if limit is not None:
        ax.axvline(limit, color=FLOOR, linestyle="--", linewidth=1.4)
    return ax


def _plain(value: float) -> str:
    """Three digits at least, without an exponent: 0.00123, 12.3, 1,234."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots()[1]
