// @ts-check
// The ledger across the bottom. Of sources that number their messages: sent = arrived + missing. Of all that came to the
// door: received = accepted + duplicate + too late + rejected + in flight; nothing is lost.
import { ledgerOf } from "./figures.js";
import { newMark, setMark } from "./mark.js";
import { made, one, say, tag } from "./page.js";
import { number, words } from "./words.js";

const BEFORE = /** @type {const} */ (["sent", "arrived", "missing"]);
const SUM = /** @type {const} */ (["received", "accepted", "duplicate", "too_late", "rejected", "in_flight", "difference"]);
/** @type {Record<string, string>} */
const SIGNS = { arrived: "=", missing: "+", accepted: "=", duplicate: "+", too_late: "+", rejected: "+", in_flight: "+" };
/** Ways to be narrower, the first that fits: as designed; smaller; without the title too; as small as can be read. */
const FITS = ["", "small", "untitled", "least"];

export class LedgerStrip {
  constructor() {
    const strip = one("#ledger");
    say(made("h2", "", strip), words.ledger);
    /** @type {Record<string, HTMLElement>} */
    this._cells = {};
    for (const name of [...BEFORE, ...SUM]) {
      if (SIGNS[name]) say(made("span", "sign", strip), SIGNS[name] ?? "");
      this._cell(strip, name, words[name]);
    }
    this._cell(strip, "pending", words.pending);
    this._cell(strip, "silent", words.silentSources);
    this._difference = newMark();
    this._cells.difference?.after(this._difference);
    this._missing = newMark();
    this._cells.missing?.after(this._missing);
    this._strip = strip;
    this._written = 0;
  }

  /** Once a second. @param {import("./replica").Replica} replica */
  tick(replica) {
    const rows = replica.under("l:").map(([, row]) => row);
    const ledger = ledgerOf(rows);
    // Where nobody numbers what is sent, nobody knows that nothing is missing.
    for (const name of BEFORE) this._tell(name, ledger.sent ? number(ledger[name]) : "–");
    for (const name of SUM) this._tell(name, rows.length ? number(ledger[name]) : "–");
    const bridges = replica.under("b:");
    const pending = bridges.reduce((sum, [, bridge]) => sum + (bridge.pending ?? 0), 0);
    this._tell("pending", bridges.length ? number(pending) : "–");
    const silent = replica.values.get("s:silent");
    this._tell("silent", silent ? number(Object.keys(silent).length) : "–");
    tag(this._strip, "balanced", String(ledger.difference === 0));
    tag(this._strip, "complete", String(ledger.missing === 0));
    setMark(this._difference, ledger.difference === 0 ? "" : "critical");
    setMark(this._missing, ledger.missing === 0 ? "" : "warning");
    const written = this._strip.textContent?.length ?? 0;
    if (written !== this._written) this.fit();
    this._written = written;
  }

  /** As large as there is room for: after the digits grew, or the strip did. */
  fit() {
    for (const fit of FITS) {
      tag(this._strip, "fit", fit);
      if (this._strip.scrollWidth <= this._strip.clientWidth) return;
    }
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
