// @ts-check
// What was, shown again: a striped band across the page and a hatched frame round it, so that nobody takes it for now.
import { made, one, say, tag } from "./page.js";
import { number, words } from "./words.js";

/** @typedef {import("./types").Replay} Replay */

/** Whether this page shows what was. */
export function isReplay() {
  return document.documentElement.dataset.replay === "true";
}

/**
 * Say so, or say it no longer; the page has an empty `#replay`.
 * @param {Replay | null | undefined} replay @param {import("./words").Times} times
 * @returns {boolean} whether it is another period than the one that was shown before
 */
export function tellReplay(replay, times) {
  const band = one("#replay");
  if (!band.firstChild) fillBand(band);
  const text = replay ? `${span(replay, times)} · ×${number(replay.speed, Number.isInteger(replay.speed) ? 0 : 1)}` : "";
  tag(document.documentElement, "replay", String(Boolean(replay)));
  band.hidden = !replay;
  const what = /** @type {HTMLElement} */ (band.querySelector(".what"));
  if (what.textContent === text) return false;
  say(what, text);
  return true;
}

/** @param {HTMLElement} band */
function fillBand(band) {
  band.setAttribute("role", "status");
  const plate = made("p", "plate", band);
  made("i", "forward", plate);
  say(made("b", "", plate), words.replay);
  say(made("span", "dot", plate), "·");
  made("span", "what", plate);
  document.body.append(made("div", "replay-frame"));
}

/** "24/11/2026 07:00–08:00", or "24/11 23:00 – 25/11/2026 01:00". @param {Replay} replay @param {import("./words").Times} times */
function span({ from, to }, times) {
  const isOneDay = times.date(from) === times.date(to);
  if (isOneDay) return `${times.day(to, false)} ${times.minute(from)}–${times.minute(to)}`;
  return `${times.near(from, to)} – ${times.day(to, false)} ${times.minute(to)}`;
}
