"""Where the lines and bars of small charts go. The template draws them as SVG, whose colours are the style sheet's."""

from collections.abc import Sequence
from dataclasses import dataclass

LINE_WIDTH, LINE_HEIGHT = 120, 28
MAX_POINTS = 60
CHART_WIDTH, CHART_HEIGHT = 420, 96
BAR_SHARE = 0.7
# A bar of a single failure beside hundreds of successes is still to be seen.
LEAST_HEIGHT = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A day: its bars from below, and what stands in its tooltip."""

    label: str
    left: float
    middle: float
    says: str
    bars: tuple[Bar, ...]
    is_labelled: bool


def line(values: Sequence[float]) -> str:
    """Return the `points` of an SVG polyline; "" for fewer than two values."""
    shown = _thinned(values)
    if len(shown) < 2:
        return ""
    low, high = min(shown), max(shown)
    spread = high - low or 1.0
    step = LINE_WIDTH / (len(shown) - 1)
    heights = ((high - value) / spread * (LINE_HEIGHT - 4) + 2 for value in shown)
    return " ".join(f"{n * step:.1f},{y:.1f}" for n, y in enumerate(heights))


def _thinned(values: Sequence[float]) -> list[float]:
    """Return at most MAX_POINTS means of equally many values."""
    size = max(1, -(-len(values) // MAX_POINTS))
    groups = [values[start : start + size] for start in range(0, len(values), size)]
    return [sum(group) / len(group) for group in groups]


def columns(days: Sequence[tuple[str, str, Sequence[tuple[str, float]]]]) -> list[Column]:
    """Return a column for each day: its label, what it says, and its parts from below with their amounts."""
    top = max((sum(amount for _, amount in parts) for _, _, parts in days), default=0) or 1
    pitch = CHART_WIDTH / max(len(days), 1)
    margin = (1 - BAR_SHARE) / 2
    return [
        Column(
            label=label,
            left=round(n * pitch, 1),
            middle=round((n + 0.5) * pitch, 1),
            says=says,
            bars=_stacked(parts, x=(n + margin) * pitch, width=pitch * BAR_SHARE, scale=CHART_HEIGHT / top),
            # The last one is today.
            is_labelled=(len(days) - 1 - n) % 3 == 0,
        )
        for n, (label, says, parts) in enumerate(days)
    ]


def _stacked(parts: Sequence[tuple[str, float]], *, x: float, width: float, scale: float) -> tuple[Bar, ...]:
    bars, y = [], float(CHART_HEIGHT)
    for kind, amount in parts:
        if amount > 0:
            height = max(LEAST_HEIGHT, amount * scale)
            y -= height
            bars.append(Bar(kind=kind, x=round(x, 1), y=round(y, 1), width=round(width, 1), height=round(height, 1)))
    return tuple(bars)
