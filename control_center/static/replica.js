// @ts-check
// The page's copy of the live state. Frames overwrite values; nothing is queued, so nothing can grow.
import { crc32 } from "./crc32.js";

/** @typedef {import("./types").Frame} Frame */
/** @typedef {import("./types").Meta} Meta */

export class Replica {
  constructor() {
    this.epoch = "";
    this.sequence = 0;
    /** How many open alerts did not fit into the view. */
    this.more = 0;
    /** @type {Meta | null} */
    this.meta = null;
    /** @type {Map<string, any>} */
    this.values = new Map();
    /** How often the state hash was not the server's: 0 in a sound world. */
    this.disproved = 0;
    /** @type {Map<string, number>} */
    this._parts = new Map();
    this._sum = 0;
  }

  /** Take a newcomer's first frame: forget what was. @param {Meta} meta */
  begin(meta) {
    this.meta = meta;
    this.epoch = meta.epoch;
    this.sequence = 0;
    this.more = 0;
    this.values.clear();
    this._parts.clear();
    this._sum = 0;
  }

  /** Take what changed. @param {import("./types").DeltaFrame} frame @returns {string[]} the changed keys */
  follow(frame) {
    const keys = Object.keys(frame.d);
    for (const key of keys) this._put(key, frame.d[key]);
    this.sequence = frame.s;
    this.more = frame.more;
    return keys;
  }

  /**
   * Whether this copy equals the server's state; true also where the proof is about another moment.
   * @param {import("./types").ProofFrame} frame
   */
  proves(frame) {
    if (frame.s !== this.sequence) return true;
    const holds = frame.n === this.values.size && frame.h === this.hash();
    if (!holds) this.disproved += 1;
    return holds;
  }

  /** The sum modulo 2^32 of crc32(key NUL json) over all keys, as in streams/sync.py. */
  hash() {
    return (this._sum >>> 0).toString(16).padStart(8, "0");
  }

  /** Values by what follows the prefix. @param {string} prefix @returns {[string, any][]} */
  under(prefix) {
    /** @type {[string, any][]} */
    const found = [];
    for (const [key, value] of this.values) if (key.startsWith(prefix)) found.push([key.slice(prefix.length), value]);
    return found;
  }

  /** @param {string} key @param {unknown} value */
  _put(key, value) {
    this._sum = (this._sum - (this._parts.get(key) ?? 0)) % 2 ** 32;
    if (value === null) {
      this.values.delete(key);
      this._parts.delete(key);
      return;
    }
    const part = crc32(`${key}\0${JSON.stringify(value)}`);
    this._sum = (this._sum + part) % 2 ** 32;
    this._parts.set(key, part);
    this.values.set(key, value);
  }
}
