"""The shipped alert rules: every one has its reasons, few are critical, and every example comes out as it says."""

from collections import Counter
from pathlib import Path

import pytest

from streams.alert import Alert, Rule
from streams.alert_life import run_example
from streams.catalogue import compile_catalogue
from streams.live_keys import alert_texts
from streams.toml_catalogue import SHIPPED_ALERTS, check, load_all

SHIPPED = load_all()
CATALOGUE = compile_catalogue(SHIPPED.place, SHIPPED.kinds, SHIPPED.kpis, SHIPPED.rules)
RULES = list(SHIPPED.rules.values())
UNIT = "06673"


def names(rule: Rule) -> str:
    return rule.id


def overlay(folder: Path, rule: str, *changes: tuple[str, str]) -> Path:
    """A city's folder with one shipped rule, changed."""
    text = (SHIPPED_ALERTS / f"{rule}.toml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "alerts").mkdir()
    (folder / "alerts" / f"{rule}.toml").write_text(text, encoding="utf-8")
    return folder


def test_the_shipped_definitions_have_no_fault() -> None:
    assert check() == []


@pytest.mark.parametrize("rule", RULES, ids=names)
def test_a_rule_carries_examples_that_raise_and_return_as_they_say(rule: Rule) -> None:
    assert any(example.raises_at_s for example in rule.examples)
    assert any(example.returns_at_s for example in rule.examples)
    assert run_example(rule) == []


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.kpi], ids=names)
def test_a_level_to_return_at_lies_apart_from_the_level_to_raise_at(rule: Rule) -> None:
    level = rule.above if rule.above is not None else rule.below
    assert rule.clear != level


@pytest.mark.parametrize("rule", RULES, ids=names)
def test_a_rule_says_where_its_level_comes_from(rule: Rule) -> None:
    assert rule.source
    assert any(word in rule.source for word in ("Quyết định", "QCVN", "Nghị quyết", "configurable default"))


def test_few_are_critical_and_most_are_notices() -> None:
    """In the spirit of EEMUA 191's 5 / 15 / 80; the critical rules are the rarest to rise. Of the city's rules: those
    about the processor's own figures never rise but by a fault of ours."""
    rules = [rule for rule in RULES if not rule.figure]
    found = Counter(rule.severity for rule in rules)
    assert found["critical"] <= 0.15 * len(rules)
    assert found["warning"] <= 0.2 * len(rules)
    assert found["notice"] >= 0.6 * len(rules)


def test_the_more_severe_the_less_time_is_allowed() -> None:
    slowest = {
        severity: max(rule.respond_s for rule in RULES if rule.severity == severity)
        for severity in ("critical", "warning", "notice")
    }
    assert slowest["critical"] < slowest["warning"] < slowest["notice"]


def test_low_satisfaction_needs_enough_ratings() -> None:
    judged = [rule for rule in RULES if rule.kpi.startswith("satisfaction")]
    assert {rule.kpi for rule in judged} >= {"satisfaction", "satisfaction_dat_dai"}
    assert all(rule.n_min >= 30 for rule in judged)


def test_a_rate_over_a_day_is_not_judged_from_two_readings() -> None:
    assert all(rule.n_min >= 6 for rule in RULES if rule.kpi == "slope_rate")


def test_silence_is_told_of_air_water_rain_and_slopes() -> None:
    assert {rule.silent for rule in RULES if rule.silent} == {"air", "level", "rain", "slope"}


@pytest.mark.parametrize("rule", RULES, ids=names)
def test_a_headline_is_complete_in_both_languages(rule: Rule) -> None:
    scope = UNIT if rule.scope == "unit" else SHIPPED.place.code
    words = alert_texts(Alert("a", rule.id, scope, "", rule.severity, "unack_active", 0, 1, 12.5), CATALOGUE)
    for language in ("vi", "en"):
        headline = words[f"headline_{language}"]
        assert "{" not in headline
        decimals = CATALOGUE.kpis[rule.kpi].decimals if rule.kpi else 0
        number = f"{12.5:.{decimals}f}"
        assert (number.replace(".", ",") if language == "vi" else number) in headline, "with the KPI's own decimals"
        assert ("Bãi Cháy" in headline) == (rule.scope == "unit" and not rule.figure)


def test_a_wrong_example_is_a_fault_that_names_the_citys_file(tmp_path: Path) -> None:
    folder = overlay(tmp_path, "heavy_rain", ("raises_at_s = [600]", "raises_at_s = [601]"))
    (fault,) = check(folder)
    assert fault.file == str(folder / "alerts" / "heavy_rain.toml")
    assert fault.place == "examples"
    assert "example 1: raises at [600.0] s, expected [601" in fault.expected


def test_a_level_that_no_longer_fits_its_example_is_found(tmp_path: Path) -> None:
    folder = overlay(tmp_path, "water_high", ("above = 4.0", "above = 4.5"))
    assert [Path(fault.file).name for fault in check(folder)] == ["water_high.toml"] * 2


def test_a_broken_example_is_one_fault_and_is_not_played(tmp_path: Path) -> None:
    folder = overlay(tmp_path, "heavy_rain", ("[[0, 10.0], [600, 55.0]", "[[600, 55.0], [0, 10.0]"))
    (fault,) = check(folder)
    assert fault.place == "examples[1].series"


def test_a_rule_without_an_owner_is_refused(tmp_path: Path) -> None:
    folder = overlay(tmp_path, "noise_high", ('owner = "so-nong-nghiep-va-moi-truong"\n', ""))
    (fault,) = check(folder)
    assert Path(fault.file).name == "noise_high.toml"
    assert "owner" in f"{fault.place} {fault.expected}"
