// What all screens share: who we are, what is safe, and what happens while one looks.
import { get, listen, rows } from "./api.js";

/** @type {Map<string, Set<(told: any) => void>>} */
const listeners = new Map();
/** @param {string} name @param {any} [told] */
function emit(name, told) { for (const call of listeners.get(name) || []) call(told); }

/** @type {() => void} */
let stop = () => {};
let asking = false;
let askAgain = false;

export const home = {
  /** `GET /api/v1/state`. @type {any} */
  state: null,
  /** The line of `status`. @type {any} */
  status: null,
  /** Whether the node answers. */
  reached: true,
  /** Opens the page for adding. */
  add() {},
  /** Shows the keys. */
  keys() {},

  /** @param {string} name `changed`, `state`, `status`, `progress`, `peers`, `reached`
   *  @param {(told: any) => void} call @returns {() => void} */
  on(name, call) {
    const all = listeners.get(name) || new Set();
    listeners.set(name, all.add(call));
    return () => all.delete(call);
  },
  async load() {
    this.state = await get("/api/v1/state");
    document.documentElement.classList.toggle("limited", this.state.limited);
    emit("state");
    return this.state;
  },
  /** Asks for the status, one question at a time. */
  async look() {
    if (asking) { askAgain = true; return; }
    asking = true;
    try {
      [this.status] = await rows("status", {}, "status");
      emit("status");
    } catch { /* the shield keeps what it said */ }
    asking = false;
    if (askAgain) { askAgain = false; window.setTimeout(() => this.look(), 1500); }
  },
  /** Begins to listen. */
  start() {
    stop();
    let was = true;
    const reached = (/** @type {boolean} */ now) => {
      if (this.reached === now) return;
      this.reached = now;
      emit("reached");
    };
    stop = listen({
      open: () => { reached(true); if (!was) emit("changed", null); was = true; },
      lost: () => { was = false; reached(false); },
      changed: (told) => { emit("changed", told); this.look(); },
      progress: (told) => emit("progress", told),
      peers: (told) => { emit("peers", told); this.look(); },
      status: (told) => {
        if (told && told.assets !== undefined) { this.status = told; emit("status"); } else this.look();
      },
      ping: () => reached(true),
    });
    this.look();
  },
  /** Says that this page changed something; the node says so too, a moment later. @param {string[]|null} [months] */
  changed(months = null) { emit("changed", { months }); },
};

/** Remembers in this browser that the recovery words of its person are on no paper. */
export const UNPRINTED = "print-later";
/** Whether words were shown here and nobody said that they are on paper. */
export const isUnprinted = () => Boolean(localStorage.getItem(UNPRINTED));
/** That another device turned this one away, as those do that know it is out of the family.
 *  @param {any} status @returns {{admins: string, name: string}|null} */
export function turnedAway(status) {
  const away = status && status.problem_details.find((/** @type {any} */ one) => one.id === "turned-away");
  return away ? away.values : null;
}

/** What the shield says: how safe everything is, in a word for its colour and a sentence's key.
 *  @param {any} status @returns {{tone: "good"|"warn"|"bad"|"idle", key: string, values: Record<string, any>}} */
export function shield(status) {
  if (!status) return { tone: "idle", key: "shield.looking", values: {} };
  const away = turnedAway(status);
  // Who is let in by some and turned away by others may be new to these; copies count with neither.
  if (away) return status.peers.some((/** @type {any} */ peer) => peer.connected) ? { tone: "bad", key: "shield.away", values: { name: away.name } } : { tone: "bad", key: "shield.out", values: {} };
  const others = status.peers.length;
  const full = status.peers.find((/** @type {any} */ peer) => peer.full);
  if (full) return { tone: "bad", key: "shield.full", values: { name: full.name } };
  if (status.assets === 0) return { tone: "idle", key: "shield.empty", values: {} };
  if (others === 0) return { tone: "warn", key: "shield.alone", values: { n: status.assets } };
  if (status.only_here > 0) return { tone: "warn", key: "shield.here", values: { n: status.only_here } };
  const week = Date.now() - 7 * 86400e3;
  const gone = status.peers.find((/** @type {any} */ peer) => !peer.connected && peer.last_seen && new Date(peer.last_seen).getTime() < week);
  if (gone) return { tone: "warn", key: "shield.gone", values: { name: gone.name, n: Math.floor((Date.now() - new Date(gone.last_seen).getTime()) / 86400e3) } };
  if (status.unsafe > 0) return { tone: "warn", key: "shield.unsafe", values: { n: status.unsafe } };
  if (isUnprinted()) return { tone: "warn", key: "shield.words", values: {} };
  return { tone: "good", key: "shield.safe", values: { n: status.copies_wanted } };
}
