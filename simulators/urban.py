"""What people make: traffic, the air over it, and noise. Day by day like a province of northern Vietnam.

No figure here is a measurement: levels are chosen so that an ordinary day is ordinary (PM2.5 high in winter evenings,
ozone after noon, two rush hours), and rain, scenario and chance move them.
"""

import numpy as np

from simulators.chance import Floats, Ints, normal, smooth
from simulators.fleet import Devices, Steps
from simulators.scene import HOUR_MS, Scene, bump, bustle

Values = dict[str, Floats]


def traffic(fleet: Devices, steps: Steps, scene: Scene) -> Values:
    """Flow (veh/h) by the hour and the density; speed falls as flow nears the road's capacity, and in rain."""
    who, unit = steps.device, fleet.unit[steps.device]
    size, temper = fleet.trait(0)[who], fleet.trait(1)[who]
    load = bustle(scene.hour(steps.time), scene.is_free) * scene.traffic[unit] * (1.08 if scene.weekday == 0 else 1.0)
    load = load * (0.72 + 0.25 * temper + 0.30 * smooth(fleet.keys[who], steps.time / (20 * 60_000)))
    capacity = (420.0 + 2_300.0 * scene.urban[unit] ** 2) * (0.6 + 0.8 * size)
    flow = capacity * np.minimum(load, 1.0) * np.maximum(0.0, 1.0 + 0.09 * normal(fleet.keys[who], _tick(steps)))
    free = 34.0 + 26.0 * size - 8.0 * scene.urban[unit]
    wet = np.minimum(0.28, 0.02 * scene.sky.rain[unit])
    speed = free * (1.0 - wet) / (1.0 + 0.55 * load**4) + 2.2 * normal(fleet.keys[who], _tick(steps) + (1 << 40))
    return {"flow": np.round(flow), "speed": np.maximum(3.0, speed)}


def air(fleet: Devices, steps: Steps, scene: Scene, place_key: int) -> Values:
    """Six pollutants in ug/m3: a slow mass of air over the whole place, the site, the hour, and rain that washes."""
    who, unit = steps.device, fleet.unit[steps.device]
    keys, hour = fleet.keys[who], scene.hour(steps.time)
    busy = bustle(hour, scene.is_free) * (0.55 + 0.45 * scene.traffic[unit])
    site = (0.72 + 0.35 * scene.urban[unit]) * (0.82 + 0.36 * fleet.trait(0)[who])
    winter = 0.5 + 0.5 * np.cos(2 * np.pi * (scene.day_of_year - 10) / 365.0)
    stale = 0.55 + 0.9 * smooth(place_key, steps.time / (31 * HOUR_MS))
    own = 0.85 + 0.3 * smooth(keys, steps.time / (2.5 * HOUR_MS))
    washed = np.exp(-0.07 * np.minimum(scene.sky.rain[unit], 25.0))
    inversion = 0.78 + 0.30 * bump(hour, 7.5, 2.0) + 0.42 * bump(hour, 20.5, 3.0)
    sun = np.maximum(0.0, np.sin(np.pi * (hour - 6.5) / 13.0)) * washed
    pm25 = (13.0 + 17.0 * winter) * site * stale * own * inversion * washed
    no2 = (7.0 + 34.0 * busy * scene.urban[unit]) * site * own * (0.8 + 0.2 * stale)
    found = {
        "pm25": pm25,
        "pm10": pm25 * (1.45 + 0.35 * fleet.trait(1)[who]) + 6.0 * busy * washed,
        "o3": 24.0 + (74.0 - 22.0 * winter) * sun**1.4 * (0.7 + 0.3 * stale) - 0.25 * no2,
        "co": (330.0 + 620.0 * busy * scene.urban[unit]) * site * own * (0.7 + 0.3 * inversion),
        "so2": (6.0 + 15.0 * fleet.trait(2)[who] ** 2) * own * stale,
        "no2": no2,
    }
    return {
        name: np.maximum(0.2, value * (1.0 + 0.045 * normal(keys, _tick(steps) + (number << 40))))
        for number, (name, value) in enumerate(found.items())
    }


def noise(fleet: Devices, steps: Steps, scene: Scene) -> Values:
    """LAeq of a minute in dB: the street, the hour, the rain on the roof, and now and then a lorry."""
    who, unit = steps.device, fleet.unit[steps.device]
    busy = bustle(scene.hour(steps.time), scene.is_free) * scene.traffic[unit]
    level = 43.0 + 8.0 * scene.urban[unit] + 4.0 * fleet.trait(0)[who] + 7.5 * np.log10(1.0 + 9.0 * busy)
    lorry = 7.0 * (smooth(fleet.keys[who], steps.time / 150_000) > 0.93)
    rain = np.minimum(8.0, 0.35 * scene.sky.rain[unit])
    return {"laeq": level + lorry + rain + 1.3 * normal(fleet.keys[who], _tick(steps))}


def _tick(steps: Steps) -> Ints:
    """The counter of a reading's own chance: its time, so that it does not hang on the city's start."""
    return steps.time // 1000
