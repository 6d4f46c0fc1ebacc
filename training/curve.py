"""A loss curve with fewer points, none of them made up."""

from collections.abc import Sequence

from jobs.events import Loss


def downsample(points: Sequence[Loss], limit: int) -> list[Loss]:
    """Return at most `limit` of `points`, 2 or more, in their order: the first, the last, and of each stretch between
    its lowest, its highest and, where there are any, one whose loss is null.

    Not LTTB or an average: what people look for in a loss curve is whether it exploded and when, and both of these can
    lose a single spike.
    """
    if len(points) <= limit:
        return list(points)
    inner = points[1:-1]
    per_stretch = 3 if any(point.loss is None for point in inner) else 2
    count = (limit - 2) // per_stretch
    stretches = [inner[len(inner) * at // count : len(inner) * (at + 1) // count] for at in range(count)]
    return [points[0], *(point for stretch in stretches for point in _extremes(stretch)), points[-1]]


def _extremes(stretch: Sequence[Loss]) -> list[Loss]:
    known = [(point.loss, -point.step, point) for point in stretch if point.loss is not None]
    lacking = [point for point in stretch if point.loss is None][:1]
    ends = [min(known)[-1], max(known)[-1]] if known else []
    return sorted({point.step: point for point in [*ends, *lacking]}.values(), key=lambda point: point.step)
