// @ts-check
// One KPI's tile. Its DOM is made once; state changes at once, digits when the wall's second ticks.
import { bound, severityOf, stateOf } from "./figures.js";
import { newMark, setMark } from "./mark.js";
import { made, say, tag } from "./page.js";
import { revisionOf, Series } from "./series.js";
import { Spark } from "./spark.js";
import { age, number, own, trustOf, words } from "./words.js";

/** @typedef {import("./types").Kpi} Kpi */
/** @typedef {import("./types").Live} Live */

export const SPARK_MS = 3 * 3_600_000;
const HOUR_MS = 3_600_000;

export class Tile {
  /** @param {Kpi} kpi @param {HTMLElement} parent */
  constructor(kpi, parent) {
    this.kpi = kpi;
    this.series = new Series(Math.ceil(SPARK_MS / (kpi.every_s * 1000)) + 16, kpi.every_s * 1000);
    this.element = made("article", "tile", parent);
    tag(this.element, "kpi", kpi.id);
    this._name = made("h3", "name", this.element);
    say(this._name, own(kpi, "short"));
    const figure = made("div", "figure", this.element);
    this._value = made("span", "value", figure);
    this._unit = made("span", "unit", figure);
    this._mark = newMark();
    figure.append(this._mark);
    const canvas = /** @type {HTMLCanvasElement} */ (made("canvas", "", made("div", "spark", this.element)));
    this.spark = new Spark(canvas);
    const first = made("div", "detail", this.element);
    this._goal = made("span", "goal", first);
    this._change = made("span", "change", first);
    this._second = made("div", "detail faint", this.element);
    this._count = made("span", "count", this._second);
    this._trust = made("span", "trust", this._second);
    this._age = made("span", "age", this._second);
    this._bound = bound(kpi.goal);
    /** @type {Live | undefined} */
    this._live = undefined;
    /** What the second line was measured with: measured again only where its length may have changed. */
    this._measured = "";
    this._say();
  }

  /** A new value came. @param {Live | undefined} live */
  take(live) {
    this._live = live;
    if (live && live.v !== null) this.series.put(live.to, live.v, revisionOf(live.st, live.rev));
  }

  /** Colour and shape, at once. @param {number} now @param {Iterable<import("./types").Alert>} alerts @param {string} place */
  judge(now, alerts, place) {
    const state = stateOf(this.kpi, this._live, now);
    const severity = severityOf(this.kpi, state, alerts, place);
    tag(this.element, "state", state);
    tag(this.element, "sev", severity);
    setMark(this._mark, severity);
  }

  /** Digits and lines, once a second. @param {number} now */
  tell(now) {
    this.series.forgetBefore(now - SPARK_MS - HOUR_MS);
    const live = this._live;
    const hasValue = live !== undefined && live.v !== null;
    const text = hasValue ? number(/** @type {number} */ (live.v), this.kpi.decimals) : "–";
    say(this._value, text);
    tag(this.element, "long", String(text.length > 5));
    this._tellGoal();
    say(this._change, hasValue ? this._changed(live) : "");
    const old = live ? age(now - live.as) : "";
    const isStale = this.element.dataset.state === "stale";
    this._tellTrust(hasValue ? `n ${number(live.n)}` : "", hasValue ? trustOf(this.series) : "", !hasValue ? words.noData : isStale ? stale(old) : old);
    this.spark.draw(this.series, now - SPARK_MS, now, this._bound?.bound ?? null, live?.st === "provisional");
  }

  _say() {
    say(this._unit, own(this.kpi, "unit"));
    this._tellGoal();
  }

  /** The goal; where there is none, the unit, if there is no room for it beside the value. */
  _tellGoal() {
    const { long, sev } = this.element.dataset;
    const unit = own(this.kpi, "unit");
    const goal = this._bound ? `${this._bound.sign} ${number(this._bound.bound, decimalsOf(this._bound.bound))} ${unit}` : "";
    const isCrowded = long === "true" || Boolean(sev) || widthRem(this._value.textContent ?? "") + unit.length > 18.8;
    say(this._goal, goal.trim() || (isCrowded ? unit : ""));
    this._unit.hidden = isCrowded;
  }

  /**
   * Whether the value may still change, or was changed; how many readings are behind it gives way where room is short.
   * @param {string} count @param {string} trust @param {string} old
   */
  _tellTrust(count, trust, old) {
    say(this._count, count);
    say(this._trust, trust);
    say(this._age, old);
    tag(this.element, "corrected", String(this.series.correctedLast()));
    const size = `${count.length} ${trust} ${old.length}`;
    if (size === this._measured) return;
    this._measured = size;
    this._count.hidden = false;
    this._count.hidden = trust !== "" && this._second.scrollWidth > this._second.clientWidth;
  }

  /** Against the value of an hour before. @param {Live} live */
  _changed(live) {
    const before = this.series.near(live.to - HOUR_MS);
    if (Number.isNaN(before)) return words.unknownChange;
    const change = /** @type {number} */ (live.v) - before;
    const shown = number(Math.abs(change), this.kpi.decimals);
    if (Number(Math.abs(change).toFixed(this.kpi.decimals)) === 0) return words.same;
    return `${change > 0 ? "▲" : "▼"} ${shown}${words.per1h}`;
  }
}

/** @param {string} old */
function stale(old) {
  return words.old === "cũ" ? `cũ ${old}` : `${old} ${words.old}`;
}

/** About how wide a value is. @param {string} text */
function widthRem(text) {
  const digits = text.replace(/[^0-9]/g, "").length;
  return 3.15 * digits + 1.4 * (text.length - digits);
}

/** @param {number} value */
function decimalsOf(value) {
  return Number.isInteger(value) ? 0 : 1;
}
