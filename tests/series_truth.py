"""What KPIs of a series must be, worked out again in plain NumPy: shares no code with the processor.

Times are ms UTC, windows [end − window, end); `Truth` maps the end of a window to its value and number of readings.
"""

from typing import Any

import numpy as np

Truth = dict[int, tuple[float, int]]
Series = list[tuple[int, float]]

MINUTE, HOUR = 60_000, 3_600_000
PM25 = ([0, 25, 50, 80, 150, 250, 350, 500], [0, 50, 100, 150, 200, 300, 400, 500])
"""Decision 1459/QĐ-TCMT, Table 2: PM2.5 and the index."""


def windows(series: Series, window: int, every: int) -> dict[int, np.ndarray[Any, np.dtype[np.float64]]]:
    """The readings of every window with any, in order of time, that ends by the newest reading."""
    times = np.array([time for time, _ in series])
    values = np.array([value for _, value in series])
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    found = {}
    first, last = times[0] // every * every + every, times[-1] // every * every
    for end in range(int(first), int(last) + 1, every):
        begin, stop = np.searchsorted(times, (end - window, end))
        if stop > begin:
            found[end] = values[begin:stop]
    return found


def means(series: Series, window: int, every: int) -> Truth:
    return {end: (float(np.mean(held)), len(held)) for end, held in windows(series, window, every).items()}


def medians(series: Series, window: int, every: int) -> Truth:
    """The lower median: a reading that was made."""
    held = windows(series, window, every)
    return {end: (float(np.sort(found)[(len(found) - 1) // 2]), len(found)) for end, found in held.items()}


def aqi_of_pm25(series: Series) -> Truth:
    """Hourly VN_AQI of a station that measures PM2.5 only: Nowcast over 12 hourly means, by the decision's text."""
    hourly = {end: value for end, (value, _) in means(series, HOUR, HOUR).items()}
    result: Truth = {}
    for end in range(min(hourly), max(hourly) + 1, HOUR):
        recent = [hourly.get(end - back * HOUR) for back in range(12)]
        known = [value for value in recent if value is not None]
        if sum(value is not None for value in recent[:3]) < 2:
            continue
        weight = max(0.5, min(known) / max(known)) if max(known) > 0 else 1.0
        above = sum(weight**back * value for back, value in enumerate(recent) if value is not None)
        below = sum(weight**back for back, value in enumerate(recent) if value is not None)
        index = float(np.interp(above / below, *PM25))
        result[end] = (float(np.floor(index + 0.5)), 0)
    return result


def differences(history: list[dict[str, Any]], truth: Truth, tolerance: float = 1e-9) -> list[str]:
    """Every window that is missing, one too many, or other than it must be, in words; `tolerance` is relative.

    The number of readings is compared where the truth has one.
    """
    told = {window["to"]: window for window in history if window["value"] is not None}
    last = max(truth)
    faults = [f"window to {end}: told, but there is nothing in it" for end in told if end not in truth and end <= last]
    for end, (value, n) in truth.items():
        window = told.get(end)
        if window is None:
            faults.append(f"window to {end}: not told, expected {value}")
        elif abs(window["value"] - value) > tolerance * max(1.0, abs(value)):
            faults.append(f"window to {end}: {window['value']}, expected {value}")
        elif n and window["n"] != n:
            faults.append(f"window to {end}: n = {window['n']}, expected {n}")
    return faults
