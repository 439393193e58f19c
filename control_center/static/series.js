// @ts-check
// The newest points of one KPI, in two fixed arrays, in order of time: no growth over time.

export class Series {
  /** @param {number} capacity @param {number} everyMs more than 1.5 of it between two points is a gap */
  constructor(capacity, everyMs) {
    this.times = new Float64Array(capacity);
    this.values = new Float64Array(capacity);
    this.length = 0;
    this.everyMs = everyMs;
  }

  /** Add a point, or correct the one of that time. @param {number} time ms @param {number} value */
  put(time, value) {
    let at = this.length;
    while (at > 0 && this._time(at - 1) >= time) at -= 1;
    if (at === this.length || this._time(at) !== time) {
      if (this.length === this.times.length) {
        if (at === 0) return;
        this._drop(1);
        at -= 1;
      }
      this.times.copyWithin(at + 1, at, this.length);
      this.values.copyWithin(at + 1, at, this.length);
      this.length += 1;
    }
    this.times[at] = time;
    this.values[at] = value;
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
    this.length -= count;
  }
}
