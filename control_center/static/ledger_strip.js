// @ts-check
// The ledger across the bottom: received = accepted + duplicate + too late + rejected + in flight; nothing is lost.
import { ledgerOf } from "./figures.js";
import { newMark, setMark } from "./mark.js";
import { made, one, say, tag } from "./page.js";
import { number, words } from "./words.js";

const SUM = /** @type {const} */ (["received", "accepted", "duplicate", "too_late", "rejected", "in_flight", "difference"]);
/** @type {Record<string, string>} */
const SIGNS = { accepted: "=", duplicate: "+", too_late: "+", rejected: "+", in_flight: "+" };

export class LedgerStrip {
  constructor() {
    const strip = one("#ledger");
    say(made("h2", "", strip), words.ledger);
    /** @type {Record<string, HTMLElement>} */
    this._cells = {};
    for (const name of SUM) {
      if (SIGNS[name]) say(made("span", "sign", strip), SIGNS[name] ?? "");
      this._cell(strip, name, words[name]);
    }
    this._cell(strip, "pending", words.pending);
    this._cell(strip, "silent", words.silentSources);
    this._mark = newMark();
    this._cells.difference?.parentElement?.append(this._mark);
    this._strip = strip;
  }

  /** Once a second. @param {import("./replica").Replica} replica */
  tick(replica) {
    const rows = replica.under("l:").map(([, row]) => row);
    const ledger = ledgerOf(rows);
    for (const name of SUM) this._tell(name, rows.length ? number(ledger[name]) : "–");
    const bridges = replica.under("b:");
    const pending = bridges.reduce((sum, [, bridge]) => sum + (bridge.pending ?? 0), 0);
    this._tell("pending", bridges.length ? number(pending) : "–");
    const silent = replica.values.get("s:silent");
    this._tell("silent", silent ? number(Object.keys(silent).length) : "–");
    tag(this._strip, "balanced", String(ledger.difference === 0));
    setMark(this._mark, ledger.difference === 0 ? "" : "critical");
  }

  /** @param {HTMLElement} strip @param {string} name @param {string} label */
  _cell(strip, name, label) {
    const cell = made("div", "cell", strip);
    tag(cell, "cell", name);
    say(made("span", "label", cell), label);
    const value = made("b", "", cell);
    tag(value, "ledger", name);
    this._cells[name] = value;
  }

  /** @param {string} name @param {string} text */
  _tell(name, text) {
    const cell = this._cells[name];
    if (cell) say(cell, text);
  }
}
