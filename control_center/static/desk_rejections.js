// @ts-check
// What could not be used, and why; and the ledger that accounts for every message.
import { deskWords } from "./desk_words.js";
import { html, nothing } from "./lit.js";
import { ask } from "./page.js";
import { number, words } from "./words.js";

const AGAIN_MS = 10_000;
const LIMIT = "200";
const decoder = new TextDecoder("utf-8");

export class Rejections {
  /** @param {() => void} changed */
  constructor(changed) {
    this._changed = changed;
    /** @type {any[]} */
    this.rows = [];
    /** @type {any} */
    this.ledger = null;
    this._askedAt = -Infinity;
  }

  keepFresh() {
    if (performance.now() - this._askedAt < AGAIN_MS) return;
    this._askedAt = performance.now();
    void this._ask();
  }

  async _ask() {
    const [rows, ledger] = await Promise.all([ask("rejections", { limit: LIMIT }), ask("ledger")]);
    this.rows = rows ?? this.rows;
    this.ledger = ledger ?? this.ledger;
    this._changed();
  }

  /** @param {number} now @param {import("./words").Times} times */
  show(now, times) {
    return html`${this.ledger ? ledgerTable(this.ledger) : nothing}
      <table class="rejections"><thead><tr>${["time", "reason", "topic", "detail", "payload", "place"].map(
        (name) => html`<th scope="col">${deskWords[/** @type {"time"} */ (name)]}</th>`)}</tr></thead>
      <tbody>${this.rows.map((row) => html`<tr data-reason=${row.reason}>
        <td><b>${times.near(row.time, now)}</b></td><td>${row.reason}</td><td class="code">${row.topic}</td><td>${row.detail}</td>
        <td class="code">${preview(row.payload)}</td><td class="dim">${row.address || `${row.partition ?? "–"}/${row.ordinal ?? "–"}`}</td></tr>`)}</tbody></table>
      ${this.rows.length ? nothing : html`<p class="empty">${deskWords.noRejections}</p>`}`;
  }
}

/** @param {any} ledger */
function ledgerTable(ledger) {
  const names = /** @type {const} */ (["received", "accepted", "duplicate", "too_late", "rejected", "in_flight", "difference"]);
  const reasons = Object.entries(ledger.by_reason ?? {}).sort((one, other) => Number(other[1]) - Number(one[1]));
  return html`<div class="ledger">
    ${names.map((name) => html`<div data-cell=${name}><span>${words[name]}</span><b>${number(ledger[name])}</b></div>`)}
    <div><span>${deskWords.readingsAll}</span><b>${number(ledger.readings)}</b></div>
    <div><span>${deskWords.refused}</span><b>${number(ledger.refused_by_broker)}</b></div></div>
    ${reasons.length ? html`<ul class="reasons">${reasons.map(([reason, count]) => html`<li><span class="code">${reason}</span> <b>${number(Number(count))}</b></li>`)}</ul>` : nothing}`;
}

/** The first 120 letters of a payload; what is no text is shown as such. @param {string} payload base64 */
function preview(payload) {
  const bytes = Uint8Array.from(atob(payload), (letter) => letter.charCodeAt(0));
  // eslint-disable-next-line no-control-regex
  const text = decoder.decode(bytes.subarray(0, 480)).replace(/[\u0000-\u001f\u007f]/g, "·");
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}
