// @ts-check
// One KPI over hours, by uPlot, over two fixed Float64Arrays. A gap in the data is a gap in the line.
import uPlot from "./vendor/uplot/uPlot.esm.js";
import { bound } from "./figures.js";
import { OPEN, Series } from "./series.js";
import { extent } from "./spark.js";
import { number, words } from "./words.js";

/** @type {any} */
const Chart = uPlot;
const FONT = '"Barlow Semi Condensed", "Arial Narrow", sans-serif';

export class Trend {
  /**
   * @param {HTMLElement} box @param {import("./types").Kpi} kpi @param {number} hours
   * @param {import("./words").Times} times @param {number} textRem size of the axes' text
   */
  constructor(box, kpi, hours, times, textRem) {
    this.kpi = kpi;
    this.spanMs = hours * 3_600_000;
    const room = Math.min(10_500, Math.ceil(this.spanMs / (kpi.every_s * 1000)) + 32);
    this.series = new Series(room, kpi.every_s * 1000);
    this._seconds = new Float64Array(room);
    this._box = box;
    this._times = times;
    this._textRem = textRem;
    this._style = getComputedStyle(box);
    this._bound = bound(kpi.goal);
    this._now = 0;
    this._size = "";
    /** @type {any} */
    this._chart = null;
  }

  /** The box or the theme changed: make the chart again where it did. @param {number} rem px of one rem */
  resize(rem) {
    const size = `${this._box.clientWidth}×${this._box.clientHeight}×${rem}×${devicePixelRatio}`;
    if (size === this._size || !this._box.clientWidth) return;
    this._size = size;
    this._chart?.destroy();
    this._chart = new Chart(this._options(rem), this._data(), this._box);
  }

  /** @param {number} now ms UTC */
  draw(now) {
    this._now = now;
    this.series.forgetBefore(now - this.spanMs);
    this._chart?.setData(this._data());
  }

  /** What its newest windows are worth, in words; "" where all that is shown is final. */
  trust() {
    const corrected = this.series.correctedLast();
    const told = corrected ? [words.trendCorrected.replace("{n}", number(corrected))] : [];
    if (this.series.isOpen()) told.push(words.trendOpen);
    if (this._marks() > (corrected ? 1 : 0)) told.push(words.trendMarks);
    return told.join(" · ");
  }

  /** How many windows of the chart were corrected. */
  _marks() {
    let count = 0;
    for (let at = 0; at < this.series.length; at += 1) if (/** @type {number} */ (this.series.revisions[at]) > 0) count += 1;
    return count;
  }

  destroy() {
    this._chart?.destroy();
    this._chart = null;
  }

  _data() {
    const { length, times, values } = this.series;
    for (let at = 0; at < length; at += 1) this._seconds[at] = Math.min(/** @type {number} */ (times[at]), this._now || Infinity) / 1000;
    return [this._seconds.subarray(0, length), values.subarray(0, length)];
  }

  /** @param {number} rem */
  _options(rem) {
    const text = this._textRem * rem;
    const colour = (/** @type {string} */ name) => this._style.getPropertyValue(name).trim();
    const axis = {
      stroke: colour("--dim"), font: `500 ${text}px ${FONT}`, ticks: { show: false }, gap: 0.5 * text,
      grid: { stroke: colour("--line"), width: 0.03 * text },
    };
    const hours = [1, 2, 3, 4, 6, 12, 24, 48].map((count) => count * 3600);
    return {
      width: this._box.clientWidth, height: this._box.clientHeight, pxAlign: 0,
      padding: [0.6 * text, 4.4 * text, 0, 0], legend: { show: false }, cursor: { show: false },
      tzDate: (/** @type {number} */ seconds) => Chart.tzDate(new Date(seconds * 1000), this._times.zone),
      scales: {
        x: { time: true, range: () => [(this._now - this.spanMs) / 1000, Math.max(1, this._now / 1000)] },
        y: { range: () => this._range() },
      },
      axes: [
        { ...axis, size: 1.75 * text, incrs: hours, space: 5 * text,
          values: (/** @type {any} */ _, /** @type {number[]} */ splits) => splits.map((at) => this._times.minute(at * 1000)) },
        { ...axis, size: 3.2 * text, space: 1.7 * text,
          values: (/** @type {any} */ _, /** @type {number[]} */ splits) => splits.map((at) => number(at, places(splits))) },
      ],
      series: [{}, {
        stroke: colour("--ink"), width: 0.105 * text, points: { show: false },
        gaps: (/** @type {any} */ chart, /** @type {number} */ _, /** @type {number} */ from, /** @type {number} */ to) => this._gaps(chart, from, to),
      }],
      hooks: { draw: [(/** @type {any} */ chart) => this._notes(chart, text, colour)] },
    };
  }

  _range() {
    const [low, high] = extent(this.series, this._now - this.spanMs, this._bound?.bound ?? null);
    const room = 0.08 * (/** @type {number} */ (high) - /** @type {number} */ (low));
    return [/** @type {number} */ (low) - room, /** @type {number} */ (high) + room];
  }

  /** @param {any} chart @param {number} from @param {number} to */
  _gaps(chart, from, to) {
    /** @type {[number, number][]} */
    const gaps = [];
    for (let at = Math.max(1, from); at <= to; at += 1) {
      if (!this.series.isGapBefore(at)) continue;
      gaps.push([chart.valToPos(this._seconds[at - 1], "x", true), chart.valToPos(this._seconds[at], "x", true)]);
    }
    return gaps;
  }

  /** The goal's line, and the newest value at its end. @param {any} chart @param {number} text @param {(name: string) => string} colour */
  _notes(chart, text, colour) {
    const context = /** @type {CanvasRenderingContext2D} */ (chart.ctx);
    const density = devicePixelRatio;
    const right = chart.bbox.left + chart.bbox.width;
    const taken = this._newest(chart, context, right, text * density, colour);
    this._corrections(chart, context, text * density, colour);
    if (!this._bound) return;
    const y = chart.valToPos(this._bound.bound, "y", true);
    context.save();
    context.strokeStyle = context.fillStyle = colour("--warning");
    context.lineWidth = 0.07 * text * density;
    context.setLineDash([0.4 * text * density, 0.3 * text * density]);
    context.beginPath();
    context.moveTo(chart.bbox.left, y);
    context.lineTo(right, y);
    context.stroke();
    context.font = `600 ${text * density}px ${FONT}`;
    context.textBaseline = "middle";
    context.textAlign = "left";
    const label = taken === null || Math.abs(taken - y) > 1.1 * text * density ? y : taken + (y >= taken ? 1.1 : -1.1) * text * density;
    const bounded = Math.min(label, chart.bbox.top + chart.bbox.height);
    context.fillText(`${this._bound.sign} ${number(this._bound.bound, places([this._bound.bound]))}`, right + 0.5 * text * density, bounded);
    context.restore();
  }

  /** @param {any} chart @param {CanvasRenderingContext2D} context @param {number} right @param {number} text @param {(name: string) => string} colour */
  _newest(chart, context, right, text, colour) {
    const at = this.series.length - 1;
    if (at < 0) return null;
    const value = /** @type {number} */ (this.series.values[at]);
    const [x, y] = [chart.valToPos(this._seconds[at], "x", true), chart.valToPos(value, "y", true)];
    context.save();
    context.fillStyle = context.strokeStyle = colour("--ink");
    context.lineWidth = 0.105 * text;
    context.beginPath();
    context.arc(x, y, 0.22 * text, 0, 2 * Math.PI);
    if (this.series.revisions[at] === OPEN) this._hollow(context, colour);
    else context.fill();
    context.fillStyle = colour("--ink");
    context.font = `700 ${1.15 * text}px ${FONT}`;
    context.textBaseline = "middle";
    context.textAlign = "left";
    context.fillText(number(value, this.kpi.decimals), right + 0.5 * text, y);
    context.restore();
    return y;
  }

  /** A window that is still open: a point without a heart. @param {CanvasRenderingContext2D} context @param {(name: string) => string} colour */
  _hollow(context, colour) {
    context.fillStyle = colour("--panel");
    context.fill();
    context.stroke();
  }

  /** A tick at the foot for each window that was corrected. @param {any} chart @param {CanvasRenderingContext2D} context @param {number} text @param {(name: string) => string} colour */
  _corrections(chart, context, text, colour) {
    const foot = chart.bbox.top + chart.bbox.height;
    context.save();
    context.fillStyle = colour("--dim");
    for (let at = 0; at < this.series.length; at += 1) {
      if (/** @type {number} */ (this.series.revisions[at]) <= 0) continue;
      const x = chart.valToPos(this._seconds[at], "x", true);
      if (x >= chart.bbox.left) context.fillRect(x - 0.07 * text, foot - 0.55 * text, 0.14 * text, 0.55 * text);
    }
    context.restore();
  }
}

/** As many decimals as the steps of an axis need. @param {number[]} splits */
function places(splits) {
  if (splits.every((split) => Number.isInteger(split))) return 0;
  return splits.every((split) => Math.abs(split * 10 - Math.round(split * 10)) < 1e-6) ? 1 : 2;
}
