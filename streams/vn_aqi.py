"""VN_AQI of the hour with Nowcast: Decision 1459/QĐ-TCMT of 12 November 2019 (domain §3.1).

Concentrations are hourly means in µg/m³, newest first; NaN is a missing hour. Two decisions of ours:

* The decision's worked example prints 60 for 118.7 µg/m³ of NO2; its own formula gives 59.35. The formula holds.
* With w = ½ the decision's sum Σ(½)^i·c_i presumes all twelve hours: a missing one lowers the result (c = [100, –,
  10 × 10] gives 52.5). The weights are normalised here over the hours that exist (70.0); `literal=True` gives the
  decision's form.
"""

import json
from importlib import resources

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HOURS = 12
POLLUTANTS = ("pm25", "pm10", "o3", "co", "so2", "no2")
_TABLE = json.loads(resources.files("streams").joinpath("vn_aqi.json").read_text("utf-8"))
_INDEX: list[float] = _TABLE["index"]
_COLUMN = {"pm25": "pm2_5", "pm10": "pm10", "o3": "o3_1h", "co": "co", "so2": "so2", "no2": "no2"}
BANDS: list[tuple[int, int, str, str, str]] = [tuple(band) for band in _TABLE["bands"]]


def nowcast(hourly: Floats, literal: bool = False) -> Floats:
    """The Nowcast of `hourly` [..., 12], newest hour first; NaN when fewer than two of the newest three exist."""
    known = ~np.isnan(hourly)
    filled = np.where(known, hourly, 0.0)
    low = np.min(np.where(known, hourly, np.inf), axis=-1)
    high = np.max(np.where(known, hourly, -np.inf), axis=-1)
    ratio = np.where(high > 0, low / np.where(high > 0, high, 1.0), 1.0)
    w = np.clip(np.where(known.any(axis=-1), ratio, 1.0), 0.5, 1.0)
    weights = w[..., None] ** np.arange(hourly.shape[-1]) * known
    total = weights.sum(axis=-1)
    mean = (weights * filled).sum(axis=-1) / np.where(total > 0, total, 1.0)
    if literal:
        halves = 0.5 ** np.arange(1, hourly.shape[-1] + 1)
        mean = np.where(w > 0.5, mean, (halves * filled).sum(axis=-1))
    return np.where(known[..., :3].sum(axis=-1) >= 2, mean, np.nan)


def sub_index(pollutant: str, concentration: Floats) -> Floats:
    """The index of one pollutant (o3: of the hour), piecewise linear; 500 beyond the table; NaN stays."""
    return interpolate(_COLUMN[pollutant], concentration)


def interpolate(column: str, concentration: Floats) -> Floats:
    """The index by a column of the decision's Table 2 (as named in vn_aqi.json)."""
    points = [(c, i) for c, i in zip(_TABLE["breakpoints"][column], _INDEX, strict=True) if c is not None]
    breaks, index = (np.array(values, dtype=np.float64) for values in zip(*points, strict=True))
    return np.where(np.isnan(concentration), np.nan, np.interp(concentration, breaks, index))


def hour_aqi(hourly: dict[str, Floats]) -> tuple[Floats, NDArray[np.int64]]:
    """VN_AQI of the newest hour of each entity, and which of POLLUTANTS is the worst (−1: unknown).

    `hourly` gives every pollutant's means [entities, 12]. Dust goes by Nowcast, gases by the newest hour. NaN
    without PM10 and PM2.5; rounded half up.
    """
    parts = np.stack(
        [
            sub_index(name, nowcast(hourly[name]) if name in ("pm25", "pm10") else hourly[name][:, 0])
            for name in POLLUTANTS
        ]
    )
    has_dust = ~np.isnan(parts[:2]).all(axis=0)
    filled = np.where(np.isnan(parts), -1.0, parts)
    worst = np.where(has_dust, filled.argmax(axis=0), -1)
    return np.where(has_dust, np.floor(filled.max(axis=0) + 0.5), np.nan), worst.astype(np.int64)


def band(aqi: float) -> tuple[int, int, str, str, str]:
    """The band of an index: from, to, name in Vietnamese and English, colour."""
    return next(band for band in BANDS if round(aqi) <= band[1])
