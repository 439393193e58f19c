// @ts-check
// The wall's list of open alerts: a fixed pool of rows, the worst first; what does not fit is counted.
import { isOverdue, isReturned, isUnclaimed, withoutPlace, worstFirst } from "./alerts.js";
import { newMark, setMark } from "./mark.js";
import { made, one, say, tag } from "./page.js";
import { age, brief, number, own, words } from "./words.js";

const POOL = 20;

export class AlertList {
  constructor() {
    this._list = one("#alert-rows");
    this._more = one("#alerts-more");
    this._none = one("#alerts-none");
    this._rows = Array.from({ length: POOL }, () => new Row(this._list));
    /** How many rows there is room for. */
    this.room = 5;
  }

  /** @param {import("./types").Alert[]} alerts @param {number} unsent @param {(scope: string) => string} nameOf */
  show(alerts, unsent, nameOf) {
    alerts.sort(worstFirst);
    const room = Math.min(this.room, POOL);
    this._rows.forEach((row, at) => row.show(at < room ? alerts[at] : undefined, nameOf));
    const left = Math.max(0, alerts.length - room) + unsent;
    say(this._more, left ? words.more.replace("{n}", number(left)) : "");
    this._none.hidden = alerts.length > 0;
  }

  /** The box changed: headlines may fit now, or no longer. */
  refit() {
    for (const row of this._rows) row.refit();
  }

  /** Ages, once a second. @param {number} now @param {import("./words").Times} times */
  tick(now, times) {
    for (const row of this._rows) row.tick(now, times);
  }
}

class Row {
  /** @param {HTMLElement} parent */
  constructor(parent) {
    this._element = made("li", "alert", parent);
    this._element.hidden = true;
    this._mark = newMark();
    this._element.append(this._mark);
    this._unit = made("span", "unit", this._element);
    this._headline = made("span", "headline", this._element);
    this._owner = made("span", "owner", this._element);
    this._who = made("span", "who", this._element);
    this._raised = made("span", "raised", this._element);
    this._age = made("span", "age", this._element);
    /** @type {import("./types").Alert | undefined} */
    this._alert = undefined;
  }

  /** @param {import("./types").Alert | undefined} alert @param {(scope: string) => string} nameOf */
  show(alert, nameOf) {
    this._alert = alert;
    this._element.hidden = !alert;
    if (!alert) return;
    const place = nameOf(alert.scope);
    const headline = withoutPlace(own(alert, "headline") || own(alert, "name") || alert.rule, place);
    tag(this._element, "alert", alert.id);
    tag(this._element, "sev", alert.severity);
    tag(this._element, "claimed", String(!isUnclaimed(alert)));
    setMark(this._mark, alert.severity);
    say(this._unit, place);
    if (this._headline.textContent !== headline) this._fit(headline);
    say(this._owner, brief(own(alert, "owner")));
    say(this._who, whoHas(alert));
  }

  refit() {
    if (this._alert) this._fit(this._headline.textContent ?? "");
  }

  /** A headline that is too long is written smaller, and in the end takes the owner's place too. @param {string} headline */
  _fit(headline) {
    say(this._headline, headline);
    for (const fit of ["", "small", "wide"]) {
      tag(this._element, "fit", fit);
      if (this._headline.scrollWidth <= this._headline.clientWidth) return;
    }
  }

  /** @param {number} now @param {import("./words").Times} times */
  tick(now, times) {
    const alert = this._alert;
    if (!alert) return;
    const isLate = isOverdue(alert, now) && !isReturned(alert);
    tag(this._element, "overdue", String(isLate));
    say(this._raised, times.short(alert.raised_at, now));
    say(this._age, isReturned(alert) ? words.returned : isLate ? overdue(age(now - alert.due)) : age(now - alert.raised_at));
  }
}

/** @param {import("./types").Alert} alert */
function whoHas(alert) {
  return isUnclaimed(alert) ? words.unclaimed : alert.acked_by;
}

/** @param {string} by */
function overdue(by) {
  return words.overdue === "quá" ? `quá ${by}` : `${by} ${words.overdue}`;
}
