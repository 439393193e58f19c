// @ts-check
// One short tone for a new critical alert, again every 60 s until somebody takes it. Browsers want a click first.

const AGAIN_MS = 60_000;

export class Sound {
  constructor() {
    /** @type {AudioContext | null} */
    this._audio = null;
    this._toldAt = -Infinity;
    this._known = "";
  }

  get isOn() {
    return this._audio !== null;
  }

  toggle() {
    if (this._audio) {
      void this._audio.close();
      this._audio = null;
    } else {
      this._audio = new AudioContext();
      this._toldAt = performance.now();
      this._tone();
    }
  }

  /** @param {string[]} unclaimed ids of unclaimed critical alerts */
  heed(unclaimed) {
    const isNew = unclaimed.some((id) => !this._known.includes(` ${id} `));
    this._known = ` ${unclaimed.join("  ")} `;
    if (!this._audio || !unclaimed.length) return;
    if (!isNew && performance.now() - this._toldAt < AGAIN_MS) return;
    this._toldAt = performance.now();
    this._tone();
  }

  _tone() {
    const audio = this._audio;
    if (!audio) return;
    const [tone, gain] = [audio.createOscillator(), audio.createGain()];
    tone.frequency.value = 880;
    gain.gain.setValueAtTime(0.0001, audio.currentTime);
    gain.gain.exponentialRampToValueAtTime(0.25, audio.currentTime + 0.03);
    gain.gain.exponentialRampToValueAtTime(0.0001, audio.currentTime + 0.5);
    tone.connect(gain).connect(audio.destination);
    tone.start();
    tone.stop(audio.currentTime + 0.55);
  }
}
