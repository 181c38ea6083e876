// Words, numbers and dates in the reader's language. Whatever others wrote is shown as text.
import { get } from "./api.js";

/** Languages there are tables for, by their own names. */
export const LANGUAGES = { en: "English", de: "Deutsch" };

/** @type {Record<string, any>} */
let table = {};
let language = "en";
let locale = "en";
let plural = new Intl.PluralRules("en");
/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/** The language that is shown. */
export const shown = () => language;

/** The one that was chosen here, else the browser's, else English. @returns {string} */
export function wished() {
  const chosen = localStorage.getItem("language");
  if (chosen && chosen in LANGUAGES) return chosen;
  for (const tag of navigator.languages || []) {
    const base = tag.slice(0, 2).toLowerCase();
    if (base in LANGUAGES) return base;
  }
  return "en";
}

/** Loads the table of a language. @param {string} wanted */
export async function speak(wanted) {
  table = await get(`/assets/lang/${wanted}.json`);
  // Over TLS stands a phone, which has no terminal and has some sentences of its own.
  if (location.protocol === "https:") for (const key of Object.keys(table)) if (key.endsWith("@phone")) table[key.slice(0, -6)] = table[key];
  // The reader's own country decides how a date is written.
  language = wanted;
  locale = (navigator.languages || []).find((tag) => tag.toLowerCase().startsWith(wanted)) || wanted;
  plural = new Intl.PluralRules(wanted);
  formats.clear();
  document.documentElement.lang = wanted;
}

/**
 * A sentence of the table. `{name}` is filled in; a table of plural forms is chosen by `n`.
 * @param {string} key @param {Record<string, string|number>} [values] @returns {string}
 */
export function t(key, values = {}) {
  let form = table[key];
  if (form === undefined) return key;
  if (typeof form === "object") {
    const n = Number(values.n);
    form = (n === 0 && form.zero) || form[plural.select(n)] || form.other;
  }
  return form.replace(/\{(\w+)\}/g, (/** @type {string} */ _, /** @type {string} */ name) => {
    const value = values[name];
    return typeof value === "number" ? number(value) : apart(String(value ?? ""));
  });
}

/** A name that is written from the right keeps to itself within a sentence. @param {string} value */
const apart = (value) => (/[\u0590-\u08ff]/.test(value) ? `\u2068${value}\u2069` : value);

/** Whether the table has a sentence. @param {string} key */
export const has = (key) => key in table;

/** @param {number} value @returns {string} */
export const number = (value) => new Intl.NumberFormat(locale).format(value);

/** @param {number} bytes @returns {string} */
export function size(bytes) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  let step = 0;
  let value = bytes;
  while (value >= 1000 && step < units.length - 1) { value /= 1000; step += 1; }
  const digits = step === 0 || value >= 100 ? 0 : 1;
  const how = { style: "unit", unit: units[step], unitDisplay: step ? "short" : "long", maximumFractionDigits: digits };
  return new Intl.NumberFormat(locale, /** @type {any} */ (how)).format(value);
}

/** `Anna, Ben and Carla`. @param {string[]} names @returns {string} */
export const and = (names) => new Intl.ListFormat(locale, { type: "conjunction" }).format(names);

const BIDI = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/**
 * What somebody else wrote, fit to stand on a line: control and direction marks are shown, never obeyed.
 * @param {unknown} text @param {number} [longest] in characters @returns {string}
 */
export function clean(text, longest = 300) {
  const shown = String(text ?? "").replace(BIDI, (mark) => {
    if (mark === "\n" || mark === "\t") return " ";
    return `\\u{${/** @type {number} */ (mark.codePointAt(0)).toString(16)}}`;
  });
  return shown.length > longest ? `${shown.slice(0, longest)}\u2026` : shown;
}

/** An album as its reader calls it: the node says `Library` of one's own, and whose it is of any other.
 *  @param {any} album @returns {string} */
export function albumName(album) {
  if (album.use !== "library") return clean(album.name, 80);
  return album.name === "Library" ? t("album.library") : t("album.library.of", { name: clean(album.name.replace(/^Library of /, ""), 60) });
}

/** Why the node did not take a file or has no preview of it, in the reader's words where the table has them.
 *  @param {string} said @returns {string} */
export function reasonText(said) {
  const kind = / is in the trash; who added it /.test(said) ? "others can bring it back" : / is in the trash; /.test(said) ? "it is in the trash" : / for good; /.test(said) ? "it was deleted for good" : said.startsWith("could not be read: ") ? "could not be read" : said;
  return has(`reason.${kind}`) ? t(`reason.${kind}`) : clean(said, 200);
}

/** A wall time means what the camera's clock showed, so it is formatted without any zone.
 *  @param {string} wall @returns {Date} */
const asUtc = (wall) => new Date(wall.length <= 10 ? `${wall}T00:00:00Z` : `${wall.slice(0, 19)}Z`);

/** @param {Date} date @param {Intl.DateTimeFormatOptions} how @returns {string} */
function format(date, how) {
  if (Number.isNaN(date.getTime())) return "";
  const key = JSON.stringify(how);
  let made = formats.get(key);
  if (!made) formats.set(key, made = new Intl.DateTimeFormat(locale, how));
  return made.format(date);
}

/** @param {string} wall @returns {string} */
export const wallTime = (wall) => format(asUtc(wall), { dateStyle: "long", timeStyle: "short", timeZone: "UTC" });

/** `2019-08` as a heading. @param {string} month @returns {string} */
export function monthName(month) {
  if (month === "undated") return t("timeline.undated");
  return format(asUtc(`${month}-01`), { month: "long", year: "numeric", timeZone: "UTC" });
}

/** `2019-08` for a narrow place. @param {string} month @returns {string} */
export function monthShort(month) {
  if (month === "undated") return t("timeline.undated");
  return format(asUtc(`${month}-01`), { month: "short", year: "numeric", timeZone: "UTC" });
}

/** A day below the heading of its month. @param {string} month @param {number} day
 *  @param {boolean} narrow without the month @returns {string} */
export function dayName(month, day, narrow) {
  if (month === "undated" || day === 0) return "";
  const date = asUtc(`${month}-${String(day).padStart(2, "0")}`);
  const how = /** @type {Intl.DateTimeFormatOptions} */ ({ weekday: "short", day: "numeric", timeZone: "UTC" });
  return format(date, narrow ? how : { ...how, month: "short" });
}

/** An instant, in this device's zone. @param {string|number|null} at @returns {string} */
export const instant = (at) => at === null ? "" : format(new Date(at), { dateStyle: "medium", timeStyle: "short" });

/** The day of an instant, in this device's zone. @param {Date} at */
export const dateOf = (at) => format(at, { dateStyle: "long" });

/** How long ago. @param {string|number|null} at @returns {string} */
export function ago(at) {
  if (at === null || at === undefined) return t("time.never");
  const seconds = (new Date(at).getTime() - Date.now()) / 1000;
  /** @type {[Intl.RelativeTimeFormatUnit, number][]} */
  const units = [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60]];
  const told = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
  for (const [unit, length] of units) {
    if (Math.abs(seconds) >= length) return told.format(Math.trunc(seconds / length), unit);
  }
  return t("time.now");
}

/** Minutes and seconds of a movie. @param {number} seconds @returns {string} */
export function length(seconds) {
  const whole = Math.round(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const tail = `${String(m).padStart(h ? 2 : 1, "0")}:${String(s).padStart(2, "0")}`;
  return h ? `${h}:${tail}` : tail;
}
