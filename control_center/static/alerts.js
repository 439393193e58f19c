// @ts-check
// What alerts mean to a reader: which is worse, who has it, whether it is late.

/** @typedef {import("./types").Alert} Alert */
/** @typedef {import("./types").Severity} Severity */

/** @type {Severity[]} worst first */
export const SEVERITIES = ["critical", "warning", "notice"];

/** @param {string} severity */
export function rank(severity) {
  const at = SEVERITIES.indexOf(/** @type {Severity} */ (severity));
  return at < 0 ? SEVERITIES.length : at;
}

/** @param {Alert} alert */
export function isUnclaimed(alert) {
  return alert.state.startsWith("unack");
}

/** The condition is over, the alert is not closed yet. @param {Alert} alert */
export function isReturned(alert) {
  return alert.state.endsWith("returned");
}

/** Nobody has taken it within the time allowed. @param {Alert} alert @param {number} now */
export function isOverdue(alert, now) {
  return isUnclaimed(alert) && now > alert.due;
}

/** For the wall: severity, then unclaimed, then the newest. @param {Alert} one @param {Alert} other */
export function worstFirst(one, other) {
  return (
    rank(one.severity) - rank(other.severity) ||
    Number(isUnclaimed(other)) - Number(isUnclaimed(one)) ||
    other.raised_at - one.raised_at ||
    (one.id < other.id ? -1 : 1)
  );
}

/** For the desk: unclaimed, then severity, then the newest. @param {Alert} one @param {Alert} other */
export function unclaimedFirst(one, other) {
  return Number(isUnclaimed(other)) - Number(isUnclaimed(one)) || worstFirst(one, other);
}

/** A headline without the place that stands beside it. @param {string} headline @param {string} place */
export function withoutPlace(headline, place) {
  return headline.replace(` tại ${place}`, "").replace(` in ${place}`, "");
}

/** @param {Iterable<Alert>} alerts @returns {Record<Severity, number>} */
export function countBySeverity(alerts) {
  const counts = { critical: 0, warning: 0, notice: 0 };
  for (const alert of alerts) if (alert.severity in counts) counts[alert.severity] += 1;
  return counts;
}

/** The worst severity of each scope. @param {Iterable<Alert>} alerts @returns {Map<string, Severity>} */
export function worstByScope(alerts) {
  /** @type {Map<string, Severity>} */
  const worst = new Map();
  for (const alert of alerts) {
    const known = worst.get(alert.scope);
    if (!known || rank(alert.severity) < rank(known)) worst.set(alert.scope, alert.severity);
  }
  return worst;
}
