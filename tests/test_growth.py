"""The soak's judge must itself be sound: it sees a slow leak in noise, and none where there is none."""

import numpy as np
from growth import growth


def run(per_step: float, noise: float) -> list[tuple[float, float]]:
    """Two hundred samples around 100."""
    chance = np.random.default_rng(7)
    return [(float(step), 100 + per_step * step + noise * chance.normal()) for step in range(200)]


def test_a_leak_of_a_hundredth_a_step_is_seen_through_noise_as_large_as_the_leak() -> None:
    found = growth(run(0.01, 0.5))
    assert abs(found.rise - 0.99) < 3 * found.error
    assert found.rise > 3 * found.error


def test_noise_alone_is_no_growth() -> None:
    found = growth(run(0.0, 0.5))
    assert abs(found.rise) < 3 * found.error


def test_what_happens_while_a_process_warms_up_is_not_its_growth() -> None:
    samples = [(float(step), 50.0 + min(step, 90)) for step in range(200)]
    found = growth(samples)
    assert (found.rise, found.first, found.last) == (0.0, 50.0, 140.0)
