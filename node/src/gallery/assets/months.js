// What is known of single photos: the details of one month at a time, the oldest looked at forgotten first.
import { get } from "./api.js";

/** Months that are kept; a year in sight and what was looked at before. */
const KEPT = 48;

/** One photo in a month's list.
 * @typedef {{id: string, t: string|null, o: string|null, k: string, w: number|null, h: number|null, d: number|null, n: string,
 *   c: string|null, f: boolean, h1: boolean, copies: number, p: string|null, pv: string, by: string|null}} Photo */

export class Months {
  /** @param {string} query of the timeline, without `?` @param {() => void} came */
  constructor(query, came) {
    this.query = query;
    this.came = came;
    /** @type {Map<string, Photo[]>} */
    this.there = new Map();
    /** @type {Map<string, AbortController>} */
    this.asked = new Map();
    /** Months whose details are older than the table. @type {Set<string>} */
    this.stale = new Set();
  }
  /** @param {string} month @returns {Photo[]|undefined} */
  get(month) {
    const list = this.there.get(month);
    if (list) { this.there.delete(month); this.there.set(month, list); }
    return list;
  }
  /** Asks for the months in sight, and for no other that only was in sight. @param {string[]} months */
  want(months) {
    for (const [month, stop] of this.asked) if (!months.includes(month)) { stop.abort(); this.asked.delete(month); }
    for (const month of months) {
      if ((this.there.has(month) && !this.stale.has(month)) || this.asked.has(month)) continue;
      const stop = new AbortController();
      this.asked.set(month, stop);
      const done = () => { if (this.asked.get(month) === stop) this.asked.delete(month); };
      // What fails is asked for again at the next look.
      this.load(month, stop.signal).then(done, done);
    }
  }
  /** What the node says of a month now. @param {string} month @param {AbortSignal} [signal] @returns {Promise<Photo[]>} */
  async ask(month, signal) {
    const { assets } = await get(`/api/v1/month/${month}${this.query ? `?${this.query}` : ""}`, signal);
    return assets.map((/** @type {any} */ one) => (one.gone ? { n: "", k: "photo", pv: "none", h1: false, copies: 0, f: false, ...one } : one));
  }
  /** @param {string} month @param {AbortSignal} [signal] @returns {Promise<Photo[]>} */
  async load(month, signal) {
    this.stale.delete(month);
    const assets = await this.ask(month, signal).catch((fault) => {
      if (this.there.has(month)) this.stale.add(month);
      throw fault;
    });
    this.keep(month, assets);
    this.asked.delete(month);
    this.came();
    return assets;
  }
  /** @param {string} month @param {Photo[]} assets */
  keep(month, assets) {
    this.there.delete(month);
    this.there.set(month, assets);
    for (const old of this.there.keys()) {
      if (this.there.size <= KEPT) break;
      this.there.delete(old);
    }
  }
  /** Something changed in these months; without a list, in any. @param {string[]|null} months */
  doubt(months) {
    for (const month of months || this.there.keys()) this.stale.add(month);
  }
}
