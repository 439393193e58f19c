// @ts-check
// The parts of the leaders' page: the sentence, the cards, the indicators against their targets.
import { isOverdue, isReturned, isUnclaimed, SEVERITIES, withoutPlace } from "./alerts.js";
import { bound, isMet } from "./figures.js";
import { leaderWords } from "./leader_words.js";
import { html, markOf, nothing } from "./lit.js";
import { age, number, own } from "./words.js";

/** @typedef {import("./types").Alert} Alert */
/**
 * @typedef {{kpi: string, name_vi: string, name_en: string, value: number | null, n: number, unit_vi: string, unit_en: string,
 *            as_of: number | null, state: string, decimals: number, goal: import("./types").Goal | null, met: boolean | null,
 *            fresh_ms: number, is_stale?: boolean}} Target
 */

/** Fill {names} in. @param {string} pattern @param {Record<string, string>} values */
export function filled(pattern, values) {
  return pattern.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** One sentence: is anything wrong. @param {Alert[]} alerts @param {Record<string, number>} counts */
export function sentence(alerts, counts) {
  const critical = alerts.filter((alert) => alert.severity === "critical");
  const unclaimed = critical.filter(isUnclaimed).length;
  if (unclaimed) return filled(critical.length === unclaimed && unclaimed === 1 ? leaderWords.critical : leaderWords.unclaimed, { n: number(critical.length), m: number(unclaimed) });
  if (critical.length) return filled(leaderWords.critical, { n: number(critical.length) });
  if (counts.warning) return filled(leaderWords.warning, { n: number(counts.warning) });
  return counts.notice ? leaderWords.notice : leaderWords.calm;
}

/** @param {Record<string, number>} counts */
export function threeCounts(counts) {
  return html`<div class="counts">${SEVERITIES.map((severity) => html`<span data-count=${severity}>${markOf(severity)}<b>${number(counts[severity] ?? 0)}</b>
    ${leaderWords[/** @type {"criticalCount"} */ (`${severity}Count`)]}</span>`)}</div>`;
}

/** @param {Alert} alert @param {string} place @param {string} short the place as headlines name it @param {number} now */
export function card(alert, place, short, now) {
  const isLate = isOverdue(alert, now) && !isReturned(alert);
  const who = isUnclaimed(alert) ? leaderWords.nobody : filled(leaderWords.has, { who: alert.acked_by });
  return html`<article class="card" data-alert=${alert.id} data-sev=${alert.severity} data-claimed=${String(!isUnclaimed(alert))}>
    <h3>${markOf(alert.severity)}<span>${withoutPlace(own(alert, "headline") || own(alert, "name") || alert.rule, short)}</span></h3>
    <p>${place}${own(alert, "owner") ? html`<br>${own(alert, "owner")}` : nothing}</p>
    <p class="last"><span class="who">${isReturned(alert) ? `${who} · ${leaderWords.returned}` : who}</span>
      <span class="age" data-overdue=${String(isLate)}>${isLate ? filled(leaderWords.over, { age: age(now - alert.due) }) : age(now - alert.raised_at)}</span></p>
  </article>`;
}

/** @param {Target} target @param {number} now */
export function indicator(target, now) {
  const limit = bound(target.goal);
  const unit = own(target, "unit");
  const decimals = target.decimals ?? 1;
  const isStale = target.as_of !== null && (target.fresh_ms > 0 ? now - target.as_of > target.fresh_ms : target.is_stale === true);
  const details = [
    limit && `${leaderWords.goal} ${limit.sign} ${number(limit.bound, Number.isInteger(limit.bound) ? 0 : 1)} ${unit}`,
    target.value !== null && filled(leaderWords.readings, { n: number(target.n) }),
    target.value !== null && target.as_of !== null && filled(leaderWords.asOf, { age: age(now - target.as_of) }),
    target.value !== null && target.state === "provisional" && leaderWords.provisional,
    target.value !== null && target.state === "corrected" && leaderWords.corrected,
  ].filter(Boolean);
  return html`<article class="indicator" data-kpi=${target.kpi} data-met=${String(target.met)} data-stale=${String(isStale)}>
    <div><h3>${own(target, "name")}</h3><p>${details.join(" · ")}</p></div>
    <b>${target.met === false && !isStale ? markOf("warning") : target.value === null || isStale ? markOf("nodata") : nothing}<span>${target.value === null ? "–" : number(target.value, decimals)}</span>
      <small>${target.value === null ? leaderWords.noValue : isStale ? leaderWords.old : unit}</small></b>
  </article>`;
}

/** A wall's indicator as a target: live. @param {import("./types").Kpi} kpi @param {import("./types").Live | undefined} live @returns {Target} */
export function liveTarget(kpi, live) {
  const value = live?.v ?? null;
  return {
    kpi: kpi.id, name_vi: kpi.name_vi, name_en: kpi.name_en, unit_vi: kpi.unit_vi, unit_en: kpi.unit_en, decimals: kpi.decimals, goal: kpi.goal,
    value, n: live?.n ?? 0, as_of: live && value !== null ? live.as : null, state: live?.st ?? "", met: value === null ? null : isMet(kpi.goal, value), fresh_ms: kpi.fresh_s * 1000,
  };
}
