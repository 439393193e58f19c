// @ts-check
// Where a number is explained on the desk: everything that is shown can be linked.

/** The address of a number on the desk. @param {string} kpi @param {string} unit @param {number | null} [at] ms UTC; the newest where there is none */
export function addressOf(kpi, unit, at = null) {
  return `#kpi/${kpi}@${unit}${at === null ? "" : `?t=${at}`}`;
}

/** What an address asks for; null where it asks for no number. @param {string} hash "#kpi/wait_p90@06673?t=1790000000000" */
export function askedBy(hash) {
  const found = /^#kpi\/([^@/?]+)(?:@([^?]*))?(?:\?t=([^&]*))?$/.exec(hash);
  return found ? { kpi: decodeURIComponent(found[1] ?? ""), unit: decodeURIComponent(found[2] ?? ""), at: decodeURIComponent(found[3] ?? "") } : null;
}
