// @ts-check
// The head: whose wall, how many alerts, whether the picture is alive, and the time of the server in the place's zone.
import { countBySeverity, SEVERITIES } from "./alerts.js";
import { titleOn } from "./figures.js";
import { newMark } from "./mark.js";
import { made, one, say, tag } from "./page.js";
import { isReplay } from "./replay.js";
import { age, fineAge, number, own, words } from "./words.js";

export const WORKER_LATE_MS = 30_000;

export class Header {
  constructor() {
    this._title = one("#title");
    this._centre = one("#centre");
    this._clock = one("#clock");
    this._day = one("#day");
    this._link = one("#link-word");
    this._age = one("#link-age");
    this._banner = one("#banner");
    /** @type {Record<string, HTMLElement>} */
    this._counts = {};
    const counts = one("#counts");
    for (const severity of SEVERITIES) {
      const cell = made("div", "count", counts);
      tag(cell, "count", severity);
      cell.append(newMark(severity));
      this._counts[severity] = made("b", "", cell);
      say(made("span", "", cell), words[severity]);
    }
  }

  /** @param {Iterable<import("./types").Alert>} alerts @param {number} more those that were not sent: no worse than the least */
  count(alerts, more) {
    const counts = countBySeverity(alerts);
    const least = [...SEVERITIES].reverse().find((severity) => counts[severity] > 0);
    for (const severity of SEVERITIES) {
      const cell = this._counts[severity];
      if (cell) say(cell, number(counts[severity]) + (more && severity === least ? "+" : ""));
      if (cell?.parentElement) tag(cell.parentElement, "none", String(counts[severity] === 0));
    }
  }

  /** Once a second. @param {number} now @param {import("./words").Times} times @param {import("./types").Title[]} titles */
  tick(now, times, titles) {
    const title = titleOn(titles, times.date(now));
    say(this._title, title ? own(title, "name") : "");
    say(this._centre, title ? own(title, "centre") : "");
    say(this._clock, times.second(now));
    say(this._day, isReplay() ? `${words.replayClock} · ${times.day(now, false)}` : times.day(now));
  }

  /**
   * Whether the picture is alive.
   * @param {import("./live_link").LiveLink} link @param {number} workerSilent ms since the slowest worker spoke; NaN where none did
   */
  tellLink(link, workerSilent) {
    const isLate = workerSilent > WORKER_LATE_MS && link.state === "live";
    tag(document.documentElement, "worker", isLate ? "late" : "live");
    const isNew = link.state === "slow" && !link.replica.epoch;
    const state = link.state === "live" && isReplay() ? words.replayed : words[link.state];
    say(this._link, link.refusal ? `${words.down} (${link.refusal})` : isNew ? words.connecting : state);
    say(this._age, this._linkDetail(link, workerSilent, isLate));
    const pattern = link.replica.epoch ? words.banner : words.bannerNever;
    say(this._banner, link.refusal === 401 ? `${words.down} – ${words.refused}` : pattern.replace("{age}", age(link.silence())));
  }

  /** @param {import("./live_link").LiveLink} link @param {number} workerSilent @param {boolean} isLate */
  _linkDetail(link, workerSilent, isLate) {
    if (isLate) return `${words.workerLate} ${age(workerSilent)}`;
    if (link.state !== "down") return `${words.data} ${fineAge(Math.max(link.silence(), workerSilent || 0))}`;
    const wait = link.retryIn();
    return wait ? `${words.retry} ${fineAge(wait)}` : words.trying;
  }
}
