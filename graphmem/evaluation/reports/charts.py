"""Small line, bar and scatter charts as inline SVG; all text in them is escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

COLOURS = (
    "#2563eb",
    "#d97706",
    "#059669",
    "#db2777",
    "#7c3aed",
    "#0891b2",
    "#65a30d",
    "#dc2626",
    "#a16207",
    "#475569",
)
"""One for each variant, in order; they are told apart on white and on dark paper."""

_WIDTH, _HEIGHT = 380, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 42, 14, 14, 40
_PLOT_WIDTH, _PLOT_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM


def colour(number: int) -> str:
    """The colour of the variant of this number."""
    return COLOURS[number % len(COLOURS)]


def line_chart(
    series: Mapping[str, Sequence[float]], colours: Mapping[str, str], x_label: str, y_label: str
) -> Markup:
    """Lines over 1, 2, 3, ..; values in percent."""
    count = max((len(values) for values in series.values()), default=1)
    low, high = _range([value for values in series.values() for value in values])
    marks = [k for k in (1, 2, 5, 10, 20, 30, 50, 100) if k <= count]

    def x(k: float) -> float:
        share = math.log(k) / math.log(count) if count > 1 else 0.5
        return _LEFT + share * _PLOT_WIDTH

    parts = [_frame(low, high, x_label, y_label)]
    parts += [_x_mark(x(k), str(k)) for k in marks]
    for name, values in series.items():
        points = " ".join(
            f"{x(k):.1f},{_y(value, low, high):.1f}" for k, value in enumerate(values, start=1)
        )
        parts.append(
            Markup(
                '<polyline points="{}" fill="none" stroke="{}" stroke-width="2.2" '
                'stroke-linejoin="round"><title>{}</title></polyline>'
            ).format(points, colours[name], name)
        )
    return _svg(parts, f"{y_label} over {x_label}")


def bar_chart(
    series: Mapping[str, Sequence[float]],
    colours: Mapping[str, str],
    groups: Sequence[str],
    x_label: str,
    y_label: str,
) -> Markup:
    """Bars of every series in every group, from 0 to 100 percent."""
    parts = [_frame(0, 100, x_label, y_label)]
    slot = _PLOT_WIDTH / max(1, len(groups))
    width = min(26.0, slot * 0.8 / max(1, len(series)))
    for place, group in enumerate(groups):
        middle = _LEFT + slot * (place + 0.5)
        parts.append(_x_mark(middle, group, line=False))
        for number, (name, values) in enumerate(series.items()):
            left = middle + (number - len(series) / 2) * width
            top = _y(values[place], 0, 100)
            parts.append(
                Markup(
                    '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="1.5" '
                    'fill="{}"><title>{}, {}: {:.1f}</title></rect>'
                ).format(
                    left + 0.75,
                    top,
                    width - 1.5,
                    _TOP + _PLOT_HEIGHT - top,
                    colours[name],
                    name,
                    group,
                    values[place],
                )
            )
    return _svg(parts, f"{y_label} by {x_label}")


def scatter_chart(
    points: Mapping[str, tuple[float, float, float, float]],
    colours: Mapping[str, str],
    x_label: str,
    y_label: str,
) -> Markup:
    """Points (x, y, low, high) with the interval of y; x on a logarithmic axis."""
    if not points:
        return Markup("")
    low, high = _range([v for _, *ys in points.values() for v in ys])
    xs = [max(1e-3, p[0]) for p in points.values()]
    first = 10 ** math.floor(math.log10(min(xs)))
    last = 10 ** math.ceil(math.log10(max(xs) * 1.05))

    def x(value: float) -> float:
        share = math.log(max(1e-3, value) / first) / math.log(last / first)
        return _LEFT + share * _PLOT_WIDTH

    parts = [_frame(low, high, x_label, y_label)]
    decade = first
    while decade <= last * 1.001:
        parts += [
            _x_mark(x(m * decade), f"{m * decade:g}")
            for m in ((1, 2, 5) if last / first <= 100 else (1,))
            if m * decade <= last * 1.001
        ]
        decade *= 10
    for name, (value, mean, bottom, top) in points.items():
        parts.append(
            Markup(
                '<line x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}" stroke="{4}" '
                'stroke-width="1.5" opacity="0.45"/><circle cx="{0:.1f}" cy="{3:.1f}" r="5" '
                'fill="{4}"><title>{5}: {6:.1f} at {7:.2f} ms</title></circle>'
            ).format(
                x(value),
                _y(bottom, low, high),
                _y(top, low, high),
                _y(mean, low, high),
                colours[name],
                name,
                mean,
                value,
            )
        )
    return _svg(parts, f"{y_label} over {x_label}")


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Bounds for an axis of percent around the values, at multiples of its step."""
    least, most = min(values, default=0), max(values, default=100)
    step = 20 if most - least > 45 else 10
    low, high = step * math.floor(least / step), min(100, step * math.ceil(most / step))
    return low, high if high > low else low + step


def _y(value: float, low: float, high: float) -> float:
    return _TOP + _PLOT_HEIGHT * (1 - (value - low) / (high - low))


def _frame(low: float, high: float, x_label: str, y_label: str) -> Markup:
    step = 20 if high - low >= 60 else 10
    lines = Markup("").join(
        Markup(
            '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
            '<text x="{}" y="{:.1f}" text-anchor="end">{:.0f}</text>'
        ).format(
            _LEFT,
            _WIDTH - _RIGHT,
            _y(value, low, high),
            _y(value, low, high),
            _LEFT - 6,
            _y(value, low, high) + 4,
            value,
        )
        for value in range(int(low), int(high) + 1, step)
    )
    return lines + Markup(
        '<text class="label" x="{:.0f}" y="{}" text-anchor="middle">{}</text>'
        '<text class="label" transform="translate(11 {:.0f}) rotate(-90)" '
        'text-anchor="middle">{}</text>'
    ).format(_LEFT + _PLOT_WIDTH / 2, _HEIGHT - 5, x_label, _TOP + _PLOT_HEIGHT / 2, y_label)


def _x_mark(x: float, text: str, line: bool = True) -> Markup:
    bottom = _TOP + _PLOT_HEIGHT
    tick = (
        Markup('<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>').format(
            x, bottom, bottom + 4
        )
        if line
        else Markup("")
    )
    return tick + Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
        x, bottom + 16, text if len(text) <= 18 else text[:17] + "…"
    )


def _svg(parts: Sequence[Markup], title: str) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, title, Markup("").join(parts)
    )
