// @ts-check
// The schematic map: a cell's status is one attribute. Labels and marks stand above it for the worst units.
import { rank } from "./alerts.js";
import { newMark, setMark } from "./mark.js";
import { made, one, say, tag } from "./page.js";
import { number, words } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const LABELS = 10;
const MARK_REM = 2.7;

export class PlaceMap {
  constructor() {
    this._box = one("#map-box");
    /** @type {Rectangle | undefined} */
    this._view = undefined;
    this._svg = /** @type {SVGSVGElement} */ (/** @type {unknown} */ (one("#map-svg")));
    /** @type {Map<string, {unit: import("./types").MapUnit, cell: SVGPathElement}>} */
    this._cells = new Map();
    this._labels = Array.from({ length: LABELS }, () => new Label(this._box));
    /** @type {[string, string][]} */
    this._shown = [];
    this._legend = one("#map-legend");
    this._numbers = ["normal", "alerting", "silent"].map((name) => this._legendRow(name));
    say(one("#map-note"), words.note);
  }

  /** Draw the place. @param {import("./types").Schematic} map */
  draw(map) {
    this._cells.clear();
    const paths = [shape("context", map.context), shape("outline", map.outline)];
    for (const unit of map.units) {
      const cell = shape("cell", unit.d);
      tag(cell, "unit", unit.code);
      this._cells.set(unit.code, { unit, cell });
      paths.push(cell);
    }
    const defs = document.createElementNS(SVG, "defs");
    defs.innerHTML =
      '<pattern id="hatch" width="9" height="9" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">' +
      '<rect class="hatch-ground" width="9" height="9"/><rect class="hatch-line" width="3.4" height="9"/></pattern>';
    this._svg.replaceChildren(defs, ...paths);
    this._frame(/** @type {SVGPathElement} */ (paths[1]));
    say(one("#map-title"), `${number(map.units.length)} ${words.units}`);
  }

  /** Let the place itself fill the box. @param {SVGPathElement} outline */
  _frame(outline) {
    const { x, y, width, height } = outline.getBBox();
    this._view = { x, y, w: width, h: height };
    this._svg.setAttribute("viewBox", `${x} ${y} ${width} ${height}`);
  }

  /** @param {Map<string, string>} worst severities by unit @param {Set<string>} silent units with a silent source */
  show(worst, silent) {
    let [alerting, quiet] = [0, 0];
    /** @type {[string, string][]} */
    const labelled = [];
    for (const [code, { cell }] of this._cells) {
      const severity = worst.get(code) ?? "";
      tag(cell, "sev", severity || (silent.has(code) ? "nodata" : ""));
      if (severity) {
        alerting += 1;
        labelled.push([code, severity]);
      } else if (silent.has(code)) quiet += 1;
    }
    [this._cells.size - alerting - quiet, alerting, quiet].forEach((count, at) => {
      const element = this._numbers[at];
      if (element) say(element, number(count));
    });
    labelled.sort((one_, other) => rank(one_[1]) - rank(other[1]) || (one_[0] < other[0] ? -1 : 1));
    if (labelled.join() === this._shown.join()) return;
    this._shown = labelled;
    this.place();
  }

  /** Put marks and labels where the picture is now. */
  place() {
    const map = this._view;
    if (!map) return;
    const box = this._box.getBoundingClientRect();
    const picture = this._svg.getBoundingClientRect();
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const scale = Math.min(picture.width / map.w, picture.height / map.h);
    const left = picture.left - box.left + (picture.width - map.w * scale) / 2;
    const top = picture.top - box.top + (picture.height - map.h * scale);
    const size = MARK_REM * rem;
    const legend = this._legend.getBoundingClientRect();
    /** @type {Rectangle[]} */
    const taken = [{ x: legend.left - box.left, y: legend.top - box.top, w: legend.width, h: legend.height }];
    const points = this._shown.slice(0, LABELS).map(([code, severity]) => {
      const unit = /** @type {{unit: import("./types").MapUnit}} */ (this._cells.get(code)).unit;
      const [x, y] = [left + (unit.x - map.x) * scale, top + (unit.y - map.y) * scale];
      taken.push({ x: x - size / 2, y: y - size / 2, w: size, h: size });
      return { unit, severity, x, y };
    });
    this._labels.forEach((label, at) => label.show(points[at], taken, size, box, rem));
  }

  /** @param {string} name */
  _legendRow(name) {
    const row = made("div", "legend-row", this._legend);
    tag(made("span", "swatch", row), "legend", name);
    const count = made("b", "", row);
    tag(count, "count", name);
    say(made("span", "", row), words[/** @type {"normal"} */ (name)]);
    return count;
  }
}

/** @typedef {{x: number, y: number, w: number, h: number}} Rectangle */

class Label {
  /** @param {HTMLElement} box */
  constructor(box) {
    this._mark = newMark();
    this._mark.classList.add("map-mark");
    this._text = made("span", "map-label", box);
    box.append(this._mark);
    this.show(undefined, [], 0, { width: 0, height: 0 }, 0);
  }

  /**
   * @param {{unit: import("./types").MapUnit, severity: string, x: number, y: number} | undefined} point
   * @param {Rectangle[]} taken @param {number} size @param {{width: number, height: number}} box @param {number} rem
   */
  show(point, taken, size, box, rem) {
    setMark(this._mark, point?.severity ?? "");
    this._text.hidden = true;
    if (!point) return;
    this._mark.style.left = `${(point.x - size / 2) / rem}rem`;
    this._mark.style.top = `${(point.y - size / 2) / rem}rem`;
    say(this._text, point.unit.short);
    this._text.hidden = false;
    const spot = this._spots(point, size).find((one_) => isFree(one_, taken, box));
    this._text.hidden = !spot;
    if (!spot) return;
    taken.push(spot);
    this._text.style.left = `${spot.x / rem}rem`;
    this._text.style.top = `${spot.y / rem}rem`;
  }

  /** @param {{x: number, y: number}} point @param {number} size @returns {Rectangle[]} */
  _spots({ x, y }, size) {
    const [w, h] = [this._text.offsetWidth, this._text.offsetHeight];
    const [near, mid] = [size * 0.7, h / 2];
    const sides = [0.5, 0.3, 0.7, 0.1, 0.9];
    return [
      [x + near, y - mid], [x - near - w, y - mid], ...sides.map((side) => [x - w * side, y - near - h]), ...sides.map((side) => [x - w * side, y + near]),
      ...sides.map((side) => [x - w * side, y - near - 1.8 * h]), ...sides.map((side) => [x - w * side, y + near + 0.8 * h]),
      [x + near, y - near - h], [x + near, y + near * 0.4], [x - near - w, y - near - h], [x - near - w, y + near * 0.4],
    ].map(([left, top]) => ({ x: /** @type {number} */ (left), y: /** @type {number} */ (top), w, h }));
  }
}

/** @param {Rectangle} spot @param {Rectangle[]} taken @param {{width: number, height: number}} box */
function isFree(spot, taken, box) {
  if (spot.x < 0 || spot.y < 0 || spot.x + spot.w > box.width || spot.y + spot.h > box.height) return false;
  return taken.every(
    (other) => spot.x >= other.x + other.w || other.x >= spot.x + spot.w || spot.y >= other.y + other.h || other.y >= spot.y + spot.h,
  );
}

/** @param {string} name @param {string} path @returns {SVGPathElement} */
function shape(name, path) {
  const element = document.createElementNS(SVG, "path");
  element.setAttribute("class", name);
  element.setAttribute("d", path);
  return element;
}
