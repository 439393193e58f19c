// @ts-check
// What was before this page, or while it was cut off: the whole of it now and then, and every minute the newest
// windows, for what was closed may have been corrected since, and the live channel tells the newest window only.
import { ask } from "./page.js";
import { revisionOf } from "./series.js";

const WHOLE_AGAIN_MS = 600_000;
const NEWEST_AGAIN_MS = 60_000;
const NEWEST_LEAST_MS = 900_000;

/** @typedef {{kpi: import("./types").Kpi, series: import("./series").Series, spanMs: number}} Shown */

export class Past {
  constructor() {
    /** @type {Shown[]} */
    this._shown = [];
    this._wholeAt = -Infinity;
    this._newestAt = -Infinity;
  }

  /** @param {Shown} shown */
  add(shown) {
    this._shown.push(shown);
  }

  /** Ask for all of it again soon. @param {number} [afterMs] at the latest */
  again(afterMs = 0) {
    this._wholeAt = Math.min(this._wholeAt, performance.now() - WHOLE_AGAIN_MS + afterMs);
  }

  /** What is shown is about another time now. */
  forget() {
    for (const { series } of this._shown) series.clear();
    this.again();
  }

  /** Once a second, while connected. @param {number} now ms UTC @param {() => void} came */
  keepFresh(now, came) {
    const steady = performance.now();
    const isWhole = steady - this._wholeAt > WHOLE_AGAIN_MS;
    if (!isWhole && steady - this._newestAt <= NEWEST_AGAIN_MS) return;
    this._newestAt = steady;
    if (isWhole) this._wholeAt = steady;
    void this._ask(now, isWhole).then(came);
  }

  /** @param {number} now @param {boolean} isWhole */
  async _ask(now, isWhole) {
    for (const { kpi, series, spanMs } of this._shown) {
      const span = isWhole ? spanMs : Math.min(spanMs, Math.max(NEWEST_LEAST_MS, 3000 * kpi.every_s));
      /** @type {import("./types").KpiPoint[] | null} */
      const points = await ask(`kpis/${kpi.id}/history`, { from: String(Math.floor(now - span)) });
      for (const point of points ?? []) {
        if (point.value !== null && point.to !== null) series.put(point.to, point.value, revisionOf(point.state, point.revision));
      }
    }
  }
}
