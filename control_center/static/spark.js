// @ts-check
// A sparkline: a few lines of canvas. The canvas is resized only when its box or the screen's density changed.

/** @typedef {import("./series").Series} Series */

export class Spark {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this._canvas = canvas;
    this._context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this._style = getComputedStyle(canvas);
    this._width = 0;
    this._height = 0;
  }

  /** The box changed: measure it. @param {number} rem px of one rem */
  resize(rem) {
    const density = devicePixelRatio;
    const box = /** @type {HTMLElement} */ (this._canvas.parentElement);
    const width = Math.round(box.clientWidth * density);
    const height = Math.round(box.clientHeight * density);
    this._rem = rem * density;
    if (width === this._width && height === this._height) return;
    this._canvas.width = this._width = width;
    this._canvas.height = this._height = height;
  }

  /**
   * @param {Series} series @param {number} from ms @param {number} to ms @param {number | null} target
   * @param {boolean} isOpen the newest window is still open: a hollow point
   */
  draw(series, from, to, target, isOpen) {
    const context = this._context;
    context.clearRect(0, 0, this._width, this._height);
    if (!this._width || !this._rem) return;
    const rem = this._rem;
    const [low, high] = extent(series, from, target);
    const dot = 0.42 * rem;
    const x = (/** @type {number} */ time) => dot + ((Math.min(time, to) - from) / (to - from)) * (this._width - 2 * dot);
    const y = (/** @type {number} */ value) => this._height - dot - ((value - low) / (high - low)) * (this._height - 2 * dot);
    if (target !== null) this._target(y(target), rem);
    this._line(series, from, x, y, rem, dot, isOpen);
  }

  /** @param {number} y @param {number} rem */
  _target(y, rem) {
    const context = this._context;
    context.strokeStyle = this._style.outlineColor;
    context.lineWidth = 0.1 * rem;
    context.setLineDash([0.45 * rem, 0.35 * rem]);
    context.beginPath();
    context.moveTo(0, y);
    context.lineTo(this._width, y);
    context.stroke();
    context.setLineDash([]);
  }

  /**
   * @param {Series} series @param {number} from @param {(time: number) => number} x @param {(value: number) => number} y
   * @param {number} rem @param {number} dot @param {boolean} isOpen
   */
  _line(series, from, x, y, rem, dot, isOpen) {
    const context = this._context;
    context.strokeStyle = context.fillStyle = this._style.color;
    context.lineWidth = 0.2 * rem;
    context.lineJoin = "round";
    context.beginPath();
    let isDrawing = false;
    let last = -1;
    for (let at = 0; at < series.length; at += 1) {
      const time = /** @type {number} */ (series.times[at]);
      if (time < from) continue;
      const value = /** @type {number} */ (series.values[at]);
      if (isDrawing && !series.isGapBefore(at)) context.lineTo(x(time), y(value));
      else context.moveTo(x(time), y(value));
      isDrawing = true;
      last = at;
    }
    context.stroke();
    if (last < 0) return;
    context.beginPath();
    const [endX, endY] = [x(/** @type {number} */ (series.times[last])), y(/** @type {number} */ (series.values[last]))];
    context.arc(endX, endY, isOpen ? dot * 0.78 : dot, 0, 2 * Math.PI);
    if (isOpen) {
      context.globalCompositeOperation = "destination-out";
      context.fill();
      context.globalCompositeOperation = "source-over";
      context.stroke();
    } else {
      context.fill();
    }
  }
}

/** Lowest and highest of the values since `from` and the target, never equal. @param {Series} series @param {number} from @param {number | null} target */
export function extent(series, from, target) {
  let low = target ?? Infinity;
  let high = target ?? -Infinity;
  for (let at = 0; at < series.length; at += 1) {
    if (/** @type {number} */ (series.times[at]) < from) continue;
    const value = /** @type {number} */ (series.values[at]);
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) return [0, 1];
  if (low === high) return [low - Math.max(1, Math.abs(low) * 0.05), high + Math.max(1, Math.abs(high) * 0.05)];
  return [low, high];
}
