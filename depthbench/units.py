"""Write numbers for people: seconds, counts, FLOPs, percentages, and digits that mean something."""

from __future__ import annotations

from math import floor, isfinite, log10

_SECONDS = ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s"), (60.0, "min"), (3600.0, "h"))
_MAGNITUDES = ((1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T"), (1e15, "P"))
_UNKNOWN = "-"
_EXACT_BELOW = 1_000_000
_MOST_PERCENT = 999  # of an end of an interval
_MAX_DECIMALS = 12


def format_count(number: float | None) -> str:
    """Return a count with separators below a million, with three digits and M, G, ... above."""
    if number is None or not isfinite(number):
        return _UNKNOWN
    if abs(number) < _EXACT_BELOW:
        return f"{number:,.0f}" if float(number).is_integer() else f"{number:,g}"
    return _scaled(number)


def counted(number: int, what: str) -> str:
    """Return a number of things: 1 trial, 2,000 trials."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def format_flops(number: float | None) -> str:
    """Return FLOPs with three digits and k, M, G, T or P."""
    if number is None or not isfinite(number):
        return _UNKNOWN
    return f"{number:.0f}" if abs(number) < 1e3 else _scaled(number)


def format_seconds(
    seconds: float | None, interval: tuple[float | None, float | None] | None = None
) -> str:
    """Return a time in the unit that suits it; with an interval, its wider half: 1.23 ms ±2%."""
    if seconds is None or not isfinite(seconds):
        return _UNKNOWN
    factor, unit = unit_of(seconds)
    text = f"{significant(seconds / factor)} {unit}"
    if interval is None or interval[0] is None or interval[1] is None or seconds == 0:
        return text
    half = max(interval[1] - seconds, seconds - interval[0]) / seconds
    return f"{text} ±{format_fraction(half)}"


def format_fraction(fraction: float | None, *, is_signed: bool = False) -> str:
    """Return a fraction as a percentage: 12%, 0.8%, or with its sign."""
    if fraction is None or not isfinite(fraction):
        return _UNKNOWN
    percent = 100 * fraction
    text = f"{abs(percent):.0f}" if abs(percent) >= 9.95 else f"{abs(percent):.1f}"
    text = text.removesuffix(".0")
    sign = "" if text == "0" else "-" if percent < 0 else "+" if is_signed else ""
    return f"{sign}{text}%"


def format_estimate(
    value: float | None, low: float | None = None, high: float | None = None
) -> str:
    """Return a value with its interval, such as 0.0812 [0.0752, 0.0880].

    The digits follow the interval: two of its width. Without one the value has three.
    """
    if value is None or not isfinite(value):
        return _UNKNOWN
    if low is None or high is None:
        return significant(value)
    decimals = _decimals_off_zero(decimals_for(high - low, value), low, high)
    return f"{value:z.{decimals}f} [{low:z.{decimals}f}, {high:z.{decimals}f}]"


def format_percentages(
    value: float, low: float | None, high: float | None, *, is_signed: bool = False
) -> str:
    """Return a fraction with its interval in percent, such as 97.8% [97.1, 98.4].

    An end beyond tenfold says no more than that: 37% [-100, >999].
    """
    if low is None or high is None:
        return f"{100 * value:{'+' if is_signed else ''}.1f}%"
    low, high = 100 * low, 100 * high
    decimals = _decimals_off_zero(min(2, decimals_for(high - low, 100 * value)), low, high)
    sign = "+" if is_signed else ""  # and z in a format: no zero with a minus
    ends = (
        f">{_MOST_PERCENT}" if end > _MOST_PERCENT else f"{end:z.{decimals}f}"
        for end in (low, high)
    )
    return f"{100 * value:{sign}z,.{decimals}f}% [{', '.join(ends)}]"


def decimals_for(spread: float, value: float) -> int:
    """Return the decimals that show two digits of a spread, or four of the value without one."""
    is_rounding = spread <= 1e-12 * abs(value)
    return min(
        _MAX_DECIMALS, max(0, 3 - _exponent(value) if is_rounding else 1 - _exponent(spread))
    )


def _decimals_off_zero(decimals: int, low: float, high: float) -> int:
    """Return as many decimals as it takes to see that an interval that leaves out zero does."""
    nearest = low if low > 0 else high if high < 0 else None
    while nearest is not None and decimals < _MAX_DECIMALS and round(nearest, decimals) == 0:
        decimals += 1
    return decimals


def significant(value: float, digits: int = 3) -> str:
    """Return a number to so many digits, without an exponent where it is of ordinary size."""
    if value == 0:
        return "0"
    if not 1e-5 <= abs(value) < 1e7:
        return f"{value:.{digits - 1}e}"
    exponent = _exponent(float(f"{value:.{digits - 1}e}"))
    return f"{value:.{max(0, digits - 1 - exponent)}f}"


def _exponent(value: float) -> int:
    return floor(log10(abs(value))) if value and isfinite(value) else 0


def _scaled(number: float) -> str:
    rounded = abs(float(f"{number:.2e}"))  # 999,999,999 is 1.00G, not 1000M
    factor, letter = max((m for m in _MAGNITUDES if m[0] <= rounded), default=(1.0, ""))
    return f"{significant(number / factor)}{letter}"


def unit_of(seconds: float) -> tuple[float, str]:
    """Return the unit that suits a time, in seconds and by its name: (0.001, "ms")."""
    rounded = abs(float(f"{seconds:.2e}"))
    fitting = [unit for unit in _SECONDS if unit[0] <= rounded]
    largest = fitting[-1] if fitting else _SECONDS[0]
    return (1.0, "s") if largest[1] == "min" and rounded < 120 else largest
