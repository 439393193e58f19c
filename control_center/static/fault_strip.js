// @ts-check
// What ails the centre itself: a strip under the wall's head, in shape and words; the same words for desk and phone.
import { newMark, setMark } from "./mark.js";
import { lang, made, one, say, tag } from "./page.js";
import { age, words } from "./words.js";

/** @typedef {import("./types").Fault} Fault */

/** The gravest first, as in streams/fault.py. */
const ORDER = [
  "disk_full", "broker_deaf", "journal_waits", "journal_slow", "checkpoint_waits", "bridge_silent", "disk_low",
  "bridge_overtaken", "state_not_kept",
];
const WARNINGS = ["disk_low", "bridge_overtaken", "state_not_kept"];
const STALE_MS = 15_000;

/** Those that are still believed, the gravest first; what several workers tell in the same words, once. @param {import("./replica").Replica} replica @param {number} now @returns {Fault[]} */
export function standingFaults(replica, now) {
  const believed = replica
    .under("f:")
    .map(([, fault]) => fault)
    .filter((fault) => now - fault.at <= STALE_MS)
    .sort((one_, other) => one_.since - other.since);
  /** @type {Map<string, Fault>} */
  const found = new Map();
  for (const fault of believed) {
    const told = `${fault.what} ${fault.vi}`;
    if (!found.has(told)) found.set(told, fault);
  }
  return [...found.values()].sort((one_, other) => ORDER.indexOf(one_.what) - ORDER.indexOf(other.what));
}

/** @param {Fault} fault @returns {"critical" | "warning"} */
export function gravity(fault) {
  return WARNINGS.includes(fault.what) ? "warning" : "critical";
}

/** "Lỗi hệ thống: Đĩa đầy: ngừng xác nhận – còn 0 MB, cần 75 MB". @param {Fault} fault */
export function faultWords(fault) {
  return `${gravity(fault) === "warning" ? words.faultWarning : words.fault}: ${fault[lang]}`;
}

export class FaultStrip {
  constructor() {
    const strip = one("#faults");
    this._mark = newMark();
    strip.append(this._mark);
    this._text = made("b", "", strip);
    this._since = made("span", "", strip);
  }

  /** @param {import("./replica").Replica} replica @param {number} now */
  show(replica, now) {
    const faults = standingFaults(replica, now);
    const worst = faults[0];
    tag(document.documentElement, "fault", worst ? gravity(worst) : "none");
    setMark(this._mark, worst ? gravity(worst) : "");
    say(this._text, worst ? faultWords(worst) : "");
    const more = faults.length > 1 ? ` · ${words.faultsMore.replace("{n}", String(faults.length - 1))}` : "";
    say(this._since, worst ? age(now - worst.since) + more : "");
  }
}
