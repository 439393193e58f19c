// @ts-check
// The wall. Frames only overwrite state; drawing happens in animation frames; digits change once a second.
import { worstByScope } from "./alerts.js";
import { AlertList } from "./alert_list.js";
import { FaultStrip } from "./fault_strip.js";
import { silentUnits, titleOn } from "./figures.js";
import { Header } from "./header.js";
import { LedgerStrip } from "./ledger_strip.js";
import { LiveLink } from "./live_link.js";
import { PlaceMap } from "./map.js";
import { ask, dress, made, one, say, tag, wallName } from "./page.js";
import { rank } from "./alerts.js";
import { isReplay, tellReplay } from "./replay.js";
import { revisionOf } from "./series.js";
import { SPARK_MS, Tile } from "./tile.js";
import { Trend } from "./trend.js";
import { Past } from "./wall_past.js";
import { own, Times, trustOf, words } from "./words.js";

/** @typedef {import("./types").Meta} Meta */
/** @typedef {import("./types").Alert} Alert */

const MISSED_AGAIN_MS = 5_000;
const HOUR_MS = 3_600_000;
const SHIFT_MS = 180_000;
const FAR_TILES = 4;
const FAR_ROWS = 3;
const ROW_REM = 3.36;
const FAR_ROW_REM = 7;
const INSURANCE_HOUR = "03";

dress(["dusk", "day", "night"]);
say(one("#alerts-title"), words.alerts);
say(one("#alerts-none"), words.none);

const header = new Header();
const list = new AlertList();
const strip = new LedgerStrip();
const faults = new FaultStrip();
const map = new PlaceMap();

class Wall {
  constructor() {
    /** @type {Tile[]} */
    this._tiles = [];
    /** @type {{trend: Trend, told: HTMLElement}[]} */
    this._trends = [];
    /** @type {Map<string, string>} */
    this._names = new Map();
    this._described = "";
    this._place = "";
    this._rows = 5;
    this._isDirty = false;
    this._isResized = true;
    this._past = new Past();
    this._shift = 0;
    this._boxes = new ResizeObserver(() => this._resized());
    this.times = new Times("UTC");
    this.link = new LiveLink(wallName, {
      described: (meta) => this._describe(meta),
      changed: (keys) => this._changed(keys),
      linked: (state) => this._linked(state),
    });
  }

  start() {
    this.link.start();
    void document.fonts.ready.then(() => this._resized());
    this._boxes.observe(one("#page"));
    setInterval(() => this._move(), SHIFT_MS);
    this._nextSecond();
  }

  _resized() {
    this._isResized = true;
    this._later();
  }

  /** The DOM is made once; another wall under the same name is another page. @param {Meta} meta */
  _describe(meta) {
    const described = JSON.stringify([meta.wall, meta.kpis, meta.units, meta.place]);
    if (this._described && this._described !== described) this.link.reloadSoon();
    if (!this._described) this._build(meta);
    this._described = described;
    if (tellReplay(meta.replay, this.times)) this._turnTo();
    this._past.again();
    this._later();
  }

  /** Another period is shown than before: what is known of the past is not about it. */
  _turnTo() {
    this._past.forget();
    this._resized();
  }

  /** @param {Meta} meta */
  _build(meta) {
    const kpis = new Map(meta.kpis.map((kpi) => [kpi.id, kpi]));
    const kinds = new Set(meta.wall.panels.map((panel) => panel.kind));
    this._place = meta.place.code;
    this._names = new Map(meta.units);
    this.times = new Times(meta.place.zone);
    document.title = own(meta.wall, "name");
    tag(document.documentElement, "layout", meta.wall.layout);
    for (const kind of /** @type {const} */ (["map", "trend", "alerts", "ledger", "tile"])) {
      tag(document.documentElement, `has${kind[0]?.toUpperCase()}${kind.slice(1)}`, String(kinds.has(kind)));
    }
    for (const panel of meta.wall.panels) {
      const kpi = kpis.get(panel.kpi);
      if (panel.kind === "tile" && kpi) this._addTile(kpi);
      if (panel.kind === "trend" && kpi) this._addTrend(kpi, panel.hours);
      if (panel.kind === "alerts") this._rows = panel.rows;
    }
    for (const box of document.querySelectorAll(".spark, .chart, #map-box, #alert-rows")) this._boxes.observe(box);
    if (kinds.has("map") && meta.wall.layout === "standard") void this._fetchMap();
  }

  /** @param {import("./types").Kpi} kpi */
  _addTile(kpi) {
    const tile = new Tile(kpi, one("#tiles"));
    this._tiles.push(tile);
    this._past.add({ kpi, series: tile.series, spanMs: SPARK_MS + HOUR_MS });
  }

  /** @param {import("./types").Kpi} kpi @param {number} hours */
  _addTrend(kpi, hours) {
    const panel = made("section", "panel trend", one("#trends"));
    const unit = own(kpi, "unit");
    const heading = made("div", "heading", panel);
    say(made("h2", "", heading), `${own(kpi, "short")}${unit ? ` (${unit})` : ""} – ${words.hours.replace("{n}", String(hours))}`);
    const told = made("span", "trust", heading);
    const trend = new Trend(made("div", "chart", panel), kpi, hours, this.times, 2.1);
    this._trends.push({ trend, told });
    this._past.add(trend);
  }

  async _fetchMap() {
    const answer = await ask("map");
    if (!answer) {
      setTimeout(() => void this._fetchMap(), 10_000);
      return;
    }
    map.draw(answer);
    this._later();
  }

  /** @param {string[]} keys */
  _changed(keys) {
    for (const tile of this._tiles) {
      const key = this._key(tile.kpi.id);
      if (keys.includes(key)) tile.take(this.link.replica.values.get(key));
    }
    for (const { trend } of this._trends) {
      const live = this.link.replica.values.get(this._key(trend.kpi.id));
      if (live && live.v !== null && keys.includes(this._key(trend.kpi.id))) trend.series.put(live.to, live.v, revisionOf(live.st, live.rev));
    }
    this._later();
  }

  /** @param {string} kpi */
  _key(kpi) {
    return `k:${kpi}@${this._place}`;
  }

  /** @param {import("./types").LinkState} state */
  _linked(state) {
    tag(document.documentElement, "link", state);
    if (state === "live") this._past.again(MISSED_AGAIN_MS);
    this._later();
  }

  _later() {
    if (this._isDirty) return;
    this._isDirty = true;
    requestAnimationFrame(() => this._draw());
  }

  /** State: colours, shapes, rows; at once. */
  _draw() {
    this._isDirty = false;
    if (!this._described) return;
    if (this._isResized) this._measure();
    const now = this.link.clock.now();
    const replica = this.link.replica;
    /** @type {Alert[]} */
    const alerts = replica.under("a:").map(([, alert]) => alert);
    for (const tile of this._tiles) tile.judge(now, alerts, this._place);
    this._chooseFar();
    header.count(alerts, replica.more);
    faults.show(replica, now);
    map.show(worstByScope(alerts), silentUnits(replica.values.get("s:silent") ?? {}));
    list.show(alerts, replica.more, (scope) => this._names.get(scope) ?? (scope === this._place ? this._whole(now) : scope));
    list.tick(now, this.times);
    tag(document.documentElement, "sequence", String(replica.sequence));
    tag(document.documentElement, "disproved", String(replica.disproved));
  }

  /** What alerts of the whole place are said to be about. @param {number} now */
  _whole(now) {
    const title = titleOn(this.link.replica.meta?.place.titles ?? [], this.times.date(now));
    return title?.name_vi.startsWith("Thành phố") ? words.wholeCity : words.whole;
  }

  /** Where a room is far away, only the worst indicators are shown. */
  _chooseFar() {
    if (document.documentElement.dataset.layout !== "far") return;
    const order = (/** @type {Tile} */ tile) => rank(tile.element.dataset.sev ?? "") + (tile.element.dataset.sev === "nodata" ? 0 : 1);
    const worst = [...this._tiles].sort((one_, other) => worth(one_) - worth(other) || order(one_) - order(other)).slice(0, FAR_TILES);
    for (const tile of this._tiles) {
      const at = worst.indexOf(tile);
      const isHidden = at < 0;
      if (tile.element.hidden !== isHidden) {
        tile.element.hidden = isHidden;
        this._isResized = true;
      }
      tile.element.style.order = String(at);
    }
  }

  _measure() {
    this._isResized = false;
    const isFar = document.documentElement.dataset.layout === "far";
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    for (const tile of this._tiles) tile.spark.resize(isFar ? 2 * rem : rem);
    for (const { trend } of this._trends) trend.resize(rem);
    map.place();
    list.refit();
    strip.fit();
    const fits = Math.floor(one("#alert-rows").clientHeight / ((isFar ? FAR_ROW_REM : ROW_REM) * rem) + 0.05);
    const isWide = innerWidth / innerHeight > 2.5;
    list.room = isFar ? Math.min(fits, FAR_ROWS) : isWide ? fits : Math.min(fits, this._rows);
  }

  _nextSecond() {
    const now = this.link.clock.now();
    setTimeout(() => this._nextSecond(), Number.isNaN(now) ? 250 : 1000 - (now % 1000) + 5);
    this._tick(now);
  }

  /** Digits: once a second. @param {number} now */
  _tick(now) {
    header.tellLink(this.link, this._workerSilent(now));
    if (!this._described || Number.isNaN(now)) return;
    if (document.hidden) return;
    header.tick(now, this.times, this.link.replica.meta?.place.titles ?? []);
    for (const tile of this._tiles) tile.tell(now);
    if (Math.floor(now / 1000) % 5 === 0) this._drawTrends();
    strip.tick(this.link.replica);
    this._later();
    if (this.link.state === "live") this._past.keepFresh(now, () => this._drawTrends());
    this._insure(now);
  }

  /** ms since the slowest worker spoke; NaN where none did, or where time does not run as ours does. @param {number} now */
  _workerSilent(now) {
    if (isReplay()) return NaN;
    const rows = this.link.replica.under("p:");
    return rows.length ? now - Math.min(...rows.map(([, row]) => row.at)) : NaN;
  }

  _drawTrends() {
    for (const { trend, told } of this._trends) {
      trend.draw(this.link.clock.now());
      for (const text of [trend.trust(), trustOf(trend.series), ""]) {
        say(told, text);
        if (told.scrollWidth <= told.clientWidth) break;
      }
    }
  }

  /** Against burn-in: the picture moves by about a pixel every few minutes. */
  _move() {
    this._shift = (this._shift + 1) % 4;
    const [x, y] = /** @type {[number, number]} */ ([[0, 0], [0.1, 0], [0.1, 0.1], [0, 0.1]][this._shift]);
    one("#page").style.transform = `translate(${x}rem, ${y}rem)`;
  }

  /** One fresh page a night, with nothing critical open: insurance, not the cure. @param {number} now */
  _insure(now) {
    if (performance.now() < 12 * 3_600_000 || !this.times.minute(now).startsWith(INSURANCE_HOUR)) return;
    if (this.link.replica.under("a:").every(([, alert]) => alert.severity !== "critical")) this.link.reloadSoon();
  }
}

/** Worst first; what has no data comes after what is wrong and before what is fine. @param {Tile} tile */
function worth(tile) {
  const severity = tile.element.dataset.sev ?? "";
  return severity === "nodata" ? 2.5 : rank(severity);
}

new Wall().start();
