// @ts-check
// What a value means: against its goal, its freshness limit and the alerts on it; and the ledger's sums.
import { rank } from "./alerts.js";

/** @typedef {import("./types").Kpi} Kpi */
/** @typedef {import("./types").Live} Live */
/** @typedef {import("./types").Alert} Alert */
/** @typedef {"normal" | "missed" | "stale" | "none"} TileState */

/** null where there is no goal. @param {import("./types").Goal | null} goal @param {number} value @returns {boolean | null} */
export function isMet(goal, value) {
  if (!goal) return null;
  if (goal.at_least != null && value < goal.at_least) return false;
  if (goal.at_most != null && value > goal.at_most) return false;
  return !(goal.above != null && value <= goal.above);
}

/** The goal's bound and its sign. @param {import("./types").Goal | null} goal @returns {{sign: string, bound: number} | null} */
export function bound(goal) {
  if (!goal) return null;
  if (goal.at_least != null) return { sign: "≥", bound: goal.at_least };
  if (goal.at_most != null) return { sign: "≤", bound: goal.at_most };
  return goal.above == null ? null : { sign: ">", bound: goal.above };
}

/** @param {Kpi} kpi @param {Live | undefined} live @param {number} now @returns {TileState} */
export function stateOf(kpi, live, now) {
  if (!live || live.v === null) return "none";
  if (now - live.as > kpi.fresh_s * 1000) return "stale";
  return isMet(kpi.goal, live.v) === false ? "missed" : "normal";
}

/**
 * How bad a tile is: an open alert on what it shows, or a goal missed.
 * An alert of one unit is about the tile only where the tile shows the worst of all.
 * @param {Kpi} kpi @param {TileState} state @param {Iterable<Alert>} alerts @param {string} place @returns {string}
 */
export function severityOf(kpi, state, alerts, place) {
  if (state === "stale" || state === "none") return "nodata";
  let worst = state === "missed" ? "warning" : "";
  for (const alert of alerts) {
    if (alert.kpi !== kpi.id || alert.state.endsWith("returned")) continue;
    const isShown = alert.scope === place || kpi.across === "max" || kpi.across === "min";
    if (isShown && rank(alert.severity) < rank(worst)) worst = alert.severity;
  }
  return worst;
}

const OUTCOMES = /** @type {const} */ (["accepted", "duplicate", "too_late", "rejected", "in_flight"]);

/** The sum over partitions, and what it leaves unexplained; `sent`, `arrived` and `missing` of the sources that number their messages. @param {any[]} rows @returns {import("./types").Ledger} */
export function ledgerOf(rows) {
  const sum = { received: 0, accepted: 0, duplicate: 0, too_late: 0, rejected: 0, in_flight: 0, difference: 0, sent: 0, arrived: 0, missing: 0 };
  for (const row of rows) {
    sum.received += row.received ?? 0;
    for (const name of OUTCOMES) sum[name] += row[name] ?? 0;
    sum.arrived += (row.numbered ?? 0) + (row.unreadable ?? 0);
    sum.missing += row.missing ?? 0;
  }
  sum.difference = sum.received - OUTCOMES.reduce((total, name) => total + sum[name], 0);
  sum.sent = sum.arrived + sum.missing;
  return sum;
}

/** Units with a silent source. @param {Record<string, number>} silent @returns {Set<string>} */
export function silentUnits(silent) {
  return new Set(Object.keys(silent).map((source) => source.split("/", 1)[0] ?? ""));
}

/** The title that holds on a date. @param {import("./types").Title[]} titles @param {string} date "2026-11-23" */
export function titleOn(titles, date) {
  return (
    titles.find((title) => (title.valid_from ?? "") <= date && date <= (title.valid_to ?? "9999")) ?? titles[titles.length - 1]
  );
}
