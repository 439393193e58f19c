// @ts-check
// The ledger: what sources sent, what was received and what became of it; in all, and of the last hour by kind.
import { deskWords, fill } from "./desk_words.js";
import { html, markOf, nothing } from "./lit.js";
import { number, words } from "./words.js";

const OUTCOMES = /** @type {const} */ (["received", "accepted", "duplicate", "too_late", "rejected"]);
const TOTALS = /** @type {const} */ ([...OUTCOMES, "in_flight", "difference"]);
const HELD = /** @type {const} */ (["bridge", "journal", "checkpoint"]);
const MINUTES = 60;
const MINUTE_MS = 60_000;
const HEIGHT = 20;

/** @typedef {{partition: number, kind: string, minute: number} & Record<typeof OUTCOMES[number], number>} Row */
/** @typedef {Record<typeof OUTCOMES[number], number> & {kind: string, byMinute: number[]}} KindSum */

/** @typedef {{bridge: string, at: number, pending: number, arrived: number, repeated: number, overtaken: number, overtaken_at: number | null}} Bridge */

/** Since the data folder was made. @param {any} ledger */
export function ledgerTotals(ledger) {
  const arrived = ledger.numbered + ledger.unreadable;
  return html`<div class="ledger">
    ${ledger.sent ? html`${total("sent", words.sent, ledger.sent)}<i>=</i>${total("arrived", words.arrived, arrived)}<i>+</i>${total("missing", words.missing, ledger.missing, ledger.missing ? "warning" : "")}<hr>` : nothing}
    ${TOTALS.map((name, at) => html`${name === "difference" ? html`<hr>` : nothing}${at && name !== "difference" ? html`<i>${at === 1 ? "=" : "+"}</i>` : nothing}
      ${total(name, words[name], ledger[name], name === "difference" && ledger[name] ? "critical" : "")}`)}<hr>
    ${HELD.map((stage) => total(`held-${stage}`, deskWords.held[stage], ledger.held[stage]))}<hr>
    ${total("readings", deskWords.readingsAll, ledger.readings)}${total("refused", deskWords.refused, ledger.refused_by_broker)}</div>`;
}

/** @param {string} name @param {string} label @param {number} count @param {string} [severity] of a mark beside it */
function total(name, label, count, severity = "") {
  return html`<div data-cell=${name} data-sev=${severity}><span>${label}</span><b>${number(count)}</b>${severity ? markOf(severity) : nothing}</div>`;
}

/** The last hour's rows added up by kind, the busiest first. @param {Row[]} rows @param {number} now @returns {KindSum[]} */
export function sumByKind(rows, now) {
  /** @type {Map<string, KindSum>} */
  const sums = new Map();
  const first = Math.floor(now / MINUTE_MS) - MINUTES + 1;
  for (const row of rows) {
    const sum = sums.get(row.kind) ?? { kind: row.kind, received: 0, accepted: 0, duplicate: 0, too_late: 0, rejected: 0, byMinute: Array(MINUTES).fill(0) };
    for (const name of OUTCOMES) sum[name] += row[name];
    const at = Math.floor(row.minute / MINUTE_MS) - first;
    if (at >= 0 && at < MINUTES) sum.byMinute[at] += row.received;
    sums.set(row.kind, sum);
  }
  return [...sums.values()].sort((one, other) => other.received - one.received || (one.kind < other.kind ? -1 : 1));
}

/** @param {Row[]} rows @param {import("./desk_trust").View} view @param {boolean} isCut */
export function kindTable(rows, view, isCut) {
  const sums = sumByKind(rows, view.now);
  return html`<h3>${deskWords.byKind}</h3>
    <table class="kinds"><thead><tr><th scope="col">${deskWords.kind}</th>${OUTCOMES.map((name) => html`<th scope="col" class="count">${words[name]}</th>`)}
      <th scope="col">${deskWords.perMinute}</th></tr></thead>
    <tbody>${sums.map((sum) => html`<tr data-kind=${sum.kind}><td class="code">${sum.kind || deskWords.noKind}</td>
      ${OUTCOMES.map((name) => html`<td class="count" data-none=${String(sum[name] === 0)}>${number(sum[name])}</td>`)}
      <td class="bars"><svg viewBox="0 0 ${2 * MINUTES} ${HEIGHT}" preserveAspectRatio="none" aria-hidden="true"><path d=${bars(sum.byMinute)}></path></svg>
        <span class="dim">${fill(deskWords.most, { n: number(Math.max(...sum.byMinute)) })}</span></td></tr>`)}</tbody></table>
    ${sums.length ? nothing : html`<p class="empty">${deskWords.nothingReceived}</p>`}${isCut ? html`<p class="empty">${deskWords.onlyPart}</p>` : nothing}
    <p class="note">${deskWords.ledgerNote}</p>`;
}

/** What each bridge said last of its process. @param {Bridge[]} bridges @param {import("./desk_trust").View} view */
export function bridgeTable(bridges, view) {
  const heads = [words.arrived, deskWords.repeated, deskWords.held.bridge, deskWords.overtaken];
  return html`<h3>${deskWords.bridges}</h3>
    <table class="bridges"><thead><tr><th scope="col">${deskWords.bridge}</th>${heads.map((head) => html`<th scope="col" class="count">${head}</th>`)}
      <th scope="col">${deskWords.lastHeard}</th></tr></thead>
    <tbody>${bridges.map((one) => html`<tr data-bridge=${one.bridge}><td class="code">${one.bridge}</td>
      <td class="count">${number(one.arrived)}</td><td class="count">${number(one.repeated)}</td><td class="count">${number(one.pending)}</td>
      <td class="count lost">${one.overtaken_at === null ? number(one.overtaken) : html`<span>${markOf("warning")}<b>${number(one.overtaken)}</b></span>
        <small class="dim">${view.times.exact(one.overtaken_at, view.now)}</small>`}</td>
      <td>${view.times.exact(one.at, view.now)}</td></tr>`)}</tbody></table>
    ${bridges.length ? nothing : html`<p class="empty">${deskWords.noBridges}</p>`}<p class="note">${deskWords.bridgesNote}</p>`;
}

/** A bar for each minute. @param {number[]} counts */
function bars(counts) {
  const most = Math.max(1, ...counts);
  return counts.map((count, at) => `M${2 * at + 1} ${HEIGHT}v${-(HEIGHT * count) / most}`).join("");
}
