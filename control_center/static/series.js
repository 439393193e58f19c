// @ts-check
// The newest points of one KPI, in three fixed arrays, in order of time: no growth over time.

/** The revision of a window that is still open. */
export const OPEN = -1;

/** What a point is worth: OPEN, 0 where it is final, n where it was corrected n times. @param {string} state @param {number} revision */
export function revisionOf(state, revision) {
  return state === "provisional" ? OPEN : state === "corrected" ? Math.max(1, revision) : 0;
}

export class Series {
  /** @param {number} capacity @param {number} everyMs more than 1.5 of it between two points is a gap */
  constructor(capacity, everyMs) {
    this.times = new Float64Array(capacity);
    this.values = new Float64Array(capacity);
    this.revisions = new Int16Array(capacity);
    this.length = 0;
    this.everyMs = everyMs;
  }

  /** Add a point, or correct the one of that time. @param {number} time ms @param {number} value @param {number} [revision] of `revisionOf` */
  put(time, value, revision = 0) {
    let at = this.length;
    while (at > 0 && this._time(at - 1) >= time) at -= 1;
    const isKnown = at < this.length && this._time(at) === time;
    if (!isKnown) {
      if (this.length === this.times.length) {
        if (at === 0) return;
        this._drop(1);
        at -= 1;
      }
      this.times.copyWithin(at + 1, at, this.length);
      this.values.copyWithin(at + 1, at, this.length);
      this.revisions.copyWithin(at + 1, at, this.length);
      this.length += 1;
    }
    // What was asked for earlier may come later: the higher revision holds.
    if (isKnown && /** @type {number} */ (this.revisions[at]) > revision) return;
    this.times[at] = time;
    this.values[at] = value;
    this.revisions[at] = revision;
  }

  /** Forget what is older. @param {number} time ms */
  forgetBefore(time) {
    let count = 0;
    while (count < this.length && this._time(count) < time) count += 1;
    if (count) this._drop(count);
  }

  clear() {
    this.length = 0;
  }

  /** How often the newest closed window was corrected; 0 where it was not, or where no window is closed. */
  correctedLast() {
    for (let at = this.length - 1; at >= 0; at -= 1) {
      const revision = /** @type {number} */ (this.revisions[at]);
      if (revision !== OPEN) return revision;
    }
    return 0;
  }

  /** Whether the newest window is still open. */
  isOpen() {
    return this.length > 0 && this.revisions[this.length - 1] === OPEN;
  }

  /** The value at about a time; NaN where none was within half a step. @param {number} time ms */
  near(time) {
    for (let at = this.length - 1; at >= 0; at -= 1) {
      const off = Math.abs(this._time(at) - time);
      if (off <= this.everyMs / 2) return /** @type {number} */ (this.values[at]);
      if (this._time(at) < time) break;
    }
    return NaN;
  }

  /** Whether nothing was said between point `at` and the one before it. @param {number} at */
  isGapBefore(at) {
    return at > 0 && this._time(at) - this._time(at - 1) > 1.5 * this.everyMs;
  }

  /** @param {number} at */
  _time(at) {
    return /** @type {number} */ (this.times[at]);
  }

  /** @param {number} count */
  _drop(count) {
    this.times.copyWithin(0, count, this.length);
    this.values.copyWithin(0, count, this.length);
    this.revisions.copyWithin(0, count, this.length);
    this.length -= count;
  }
}
