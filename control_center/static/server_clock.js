// @ts-check
// The server's time on this page: performance.now() plus the offset of the least delayed frame of five minutes.
// The PC's own clock may be wrong or stepped; it is never asked.

const BUCKET_MS = 30_000;
const BUCKETS = 10;

export class ServerClock {
  /** @param {() => number} steady a clock that only runs on, ms */
  constructor(steady = () => performance.now()) {
    this._steady = steady;
    this._offsets = new Float64Array(BUCKETS).fill(-Infinity);
    this._bucket = -1;
    /** How fast the server's time runs: other than 1 in a replay. */
    this._speed = 1;
    this._heard = NaN;
    this._heardAt = 0;
  }

  /** The server's time runs this fast from now on; what was heard before does not count. @param {number} speed */
  runAt(speed) {
    this._speed = speed;
    this._offsets.fill(-Infinity);
    this._bucket = -1;
    this._heard = NaN;
  }

  /** A frame said that it is `server` ms UTC. @param {number} server */
  heard(server) {
    const steady = this._steady();
    this._heard = server;
    this._heardAt = steady;
    const bucket = Math.floor(steady / BUCKET_MS);
    if (bucket - this._bucket > BUCKETS) this._offsets.fill(-Infinity);
    for (let at = Math.max(this._bucket + 1, bucket - BUCKETS + 1); at <= bucket; at += 1) {
      this._offsets[at % BUCKETS] = -Infinity;
    }
    this._bucket = bucket;
    const slot = bucket % BUCKETS;
    this._offsets[slot] = Math.max(/** @type {number} */ (this._offsets[slot]), server - steady);
  }

  /** ms UTC; NaN before the first frame. */
  now() {
    // No offset holds where time does not run at our speed: then the newest frame alone says what time it is.
    if (this._speed !== 1) return this._heard + (this._steady() - this._heardAt) * this._speed;
    let best = -Infinity;
    for (const offset of this._offsets) best = Math.max(best, offset);
    return best === -Infinity ? NaN : this._steady() + best;
  }
}
