"""What the weather does to the ground: rain gauges, rivers and flood points, mine-waste slopes."""

import numpy as np

from simulators.chance import Floats, normal, smooth
from simulators.fleet import Devices, Steps
from simulators.scene import DAY_MS, HOUR_MS, Scene
from simulators.weather import STEP_MS

LUNAR_DAY_MS = 24.84 * HOUR_MS
INSTALLED_MS = 1_735_664_400_000
"""1 January 2025 in Vietnam: slopes are measured from then on."""


def rain(fleet: Devices, steps: Steps, scene: Scene) -> dict[str, Floats]:
    """mm since the reading before, as a weighing gauge tells it (0.1 mm)."""
    who = steps.device
    catch = 0.8 + 0.4 * smooth(fleet.keys[who], steps.time / (1.5 * HOUR_MS))
    return {"rain": scene.sky.rain[fleet.unit[who]] * catch * (fleet.period / HOUR_MS)}


def level(fleet: Devices, steps: Steps, scene: Scene) -> dict[str, Floats]:
    """m over the gauge's zero: base flow, the day's tide as far up as it reaches, and runoff hours after rain."""
    who, unit = steps.device, fleet.unit[steps.device]
    base = 0.9 + 2.6 * fleet.trait(0)[who]
    tide = 0.10 * fleet.trait(1)[who] * np.sin(2 * np.pi * steps.time / LUNAR_DAY_MS)
    runoff = scene.between(scene.sky.runoff, scene.sky.runoff_next, unit, steps.time, STEP_MS)
    rise = (0.010 + 0.014 * fleet.trait(2)[who]) * runoff
    return {"level": base + tide + rise + 0.004 * normal(fleet.keys[who], steps.time // 1000)}


def slope(fleet: Devices, steps: Steps, scene: Scene) -> dict[str, Floats]:
    """mm since installation: slow creep, and the movement that soaked ground makes (domain §3.5)."""
    who, unit = steps.device, fleet.unit[steps.device]
    creep = (0.05 + 0.45 * fleet.trait(0)[who]) * ((steps.time - INSTALLED_MS) / DAY_MS)
    soaked = scene.between(scene.sky.moved, scene.sky.moved_next, unit, steps.time, STEP_MS)
    moved = (0.5 + fleet.trait(1)[who]) * soaked
    return {"displacement": 15.0 + creep + moved + 0.12 * normal(fleet.keys[who], steps.time // 1000)}
