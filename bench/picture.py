"""Pictures, as SVG: ratios as bars, and how costs grow. Pure text; no library."""

from collections.abc import Mapping, Sequence
from html import escape
from math import floor, log10

from bench.bars import Verdict
from bench.table import number

_ROW, _LEFT, _WIDTH, _TOP = 26, 330, 880, 64
_INK, _PALE, _OURS, _MISSED = "#1f2937", "#9ca3af", "#0f766e", "#b45309"
_FONT = "font-family='system-ui, sans-serif' font-size='13'"


def ratios(found: Sequence[Verdict], machine: str) -> str:
    """Every ratio as a bar on a logarithmic scale: to the right of 1 is better, to the left is worse, whatever was
    divided by what. A mark says what must be reached."""
    shown = [verdict for verdict in found if verdict.times_better]
    values = [value for verdict in shown for value in (verdict.times_better or 1.0, _times(verdict))]
    scale = _Scale(min(values, default=1.0), max(values, default=2.0))
    body = [_text(16, 24, "times better than each peer", weight="600", size=16), _text(16, 44, machine, color=_PALE)]
    for row, verdict in enumerate(shown):
        body += _bar(verdict, _TOP + row * _ROW, scale)
    one, height = scale.x(1), _TOP + len(shown) * _ROW + 30
    body.append(f"<line x1='{one:.1f}' x2='{one:.1f}' y1='{_TOP - 6}' y2='{height - 24}' stroke='{_INK}'/>")
    body.append(_text(one, height - 8, "1 ×: equal; thin marks: what must be reached", color=_PALE, anchor="middle"))
    return _svg(_WIDTH, height, body)


class _Scale:
    """Logarithmic, with 1 always on it."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = log10(min(low, 0.5)), log10(max(high, 2.0))

    def x(self, value: float) -> float:
        return _LEFT + (log10(value) - self._low) / (self._high - self._low) * (_WIDTH - _LEFT - 80)


def _times(verdict: Verdict) -> float:
    return verdict.bar.bar if verdict.bar.is_least else 1 / verdict.bar.bar


def _bar(verdict: Verdict, top: float, scale: _Scale) -> list[str]:
    value = verdict.times_better or 1.0
    tick, end, one = scale.x(_times(verdict)), scale.x(value), scale.x(1)
    color = _OURS if verdict.is_met else _MISSED
    left, width = min(one, end), max(1.0, abs(end - one))
    return [
        _text(_LEFT - 8, top + 14, verdict.bar.name, anchor="end"),
        f"<rect x='{left:.1f}' y='{top + 2:.1f}' width='{width:.1f}' height='16' rx='2' fill='{color}'/>",
        f"<line x1='{tick:.1f}' x2='{tick:.1f}' y1='{top}' y2='{top + 20}' stroke='{_INK}' stroke-width='1.5'/>",
        _text(max(left + width, tick) + 6, top + 14, f"{number(value)} ×"),
    ]


def growth(lines: Mapping[str, Sequence[tuple[float, float]]], title: str, machine: str) -> str:
    """Points by name, on logarithmic scales."""
    points = [point for line in lines.values() for point in line]
    if not points:
        return _svg(_WIDTH, 80, [_text(16, 24, title), _text(16, 44, "nothing measured")])
    box = _Box.around(points)
    body = [_text(16, 24, title, weight="600", size=16), _text(16, 44, machine, color=_PALE), *box.grid()]
    for index, (name, line) in enumerate(lines.items()):
        color = _COLORS[index % len(_COLORS)]
        path = " ".join(f"{box.x(x):.1f},{box.y(y):.1f}" for x, y in sorted(line))
        body.append(f"<polyline points='{path}' fill='none' stroke='{color}' stroke-width='2'/>")
        body += [f"<circle cx='{box.x(x):.1f}' cy='{box.y(y):.1f}' r='3' fill='{color}'/>" for x, y in line]
        body.append(_text(_BOX_RIGHT + 12, 80 + index * 20, name, color=color))
    return _svg(_WIDTH, _BOX_BOTTOM + 40, body)


_COLORS = ("#0f766e", "#b45309", "#1d4ed8", "#be123c", "#6d28d9", "#4d7c0f", "#0e7490", "#a21caf", "#78350f")
_BOX_LEFT, _BOX_RIGHT, _BOX_TOP, _BOX_BOTTOM = 70, 590, 64, 420


class _Box:
    """From values to places, by decades."""

    def __init__(self, x: tuple[int, int], y: tuple[int, int]) -> None:
        self._x, self._y = x, y

    @classmethod
    def around(cls, points: Sequence[tuple[float, float]]) -> "_Box":
        return cls(_decades([x for x, _ in points]), _decades([y for _, y in points]))

    def x(self, value: float) -> float:
        low, high = self._x
        return _BOX_LEFT + (log10(value) - low) / (high - low) * (_BOX_RIGHT - _BOX_LEFT)

    def y(self, value: float) -> float:
        low, high = self._y
        return _BOX_BOTTOM - (log10(value) - low) / (high - low) * (_BOX_BOTTOM - _BOX_TOP)

    def grid(self) -> list[str]:
        found = []
        for power in range(self._x[0], self._x[1] + 1):
            x = self.x(10**power)
            found.append(f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{_BOX_TOP}' y2='{_BOX_BOTTOM}' stroke='#e5e7eb'/>")
            found.append(_text(x, _BOX_BOTTOM + 18, _decade(power), anchor="middle", color=_PALE))
        for power in range(self._y[0], self._y[1] + 1):
            y = self.y(10**power)
            found.append(f"<line x1='{_BOX_LEFT}' x2='{_BOX_RIGHT}' y1='{y:.1f}' y2='{y:.1f}' stroke='#e5e7eb'/>")
            found.append(_text(_BOX_LEFT - 8, y + 4, _decade(power), anchor="end", color=_PALE))
        return found


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low = floor(log10(min(values)))
    return low, max(low + 1, -floor(-log10(max(values))))


def _decade(power: int) -> str:
    return f"{10**power:,}" if power >= 0 else f"{10.0**power:.{-power}f}"


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", color: str = _INK, weight: str = "400", size: int = 13
) -> str:
    style = f"text-anchor='{anchor}' fill='{color}' font-weight='{weight}' font-size='{size}'"
    return f"<text x='{x:.1f}' y='{y:.1f}' {style}>{escape(text)}</text>"


def _svg(width: int, height: float, body: Sequence[str]) -> str:
    size = f"width='{width}' height='{height:.0f}' viewBox='0 0 {width} {height:.0f}'"
    back = f"<rect width='{width}' height='{height:.0f}' fill='white'/>"
    return f"<svg xmlns='http://www.w3.org/2000/svg' {size} {_FONT}>\n{back}\n" + "\n".join(body) + "\n</svg>\n"
