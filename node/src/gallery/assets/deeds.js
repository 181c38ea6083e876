// What is done to photos, the same from the grid and from the viewer.
import { confirm, faultText, notice, noticeFault, prompt } from "./ui.js";
import { t, clean } from "./text.js";
import { act, stream } from "./api.js";
import { home } from "./home.js";
import { askAlbum } from "./pick.js";

/** Whether this browser may look, favour and comment, and no more. */
const limited = () => home.state && home.state.limited;

/** Says what was done, and what of it was not allowed. @param {any} summary @param {string} [done] @param {() => void} [undo] */
export function sayDone(summary, done = "", undo) {
  const text = [done, summary.failed ? t("deed.refused", { n: summary.failed }) : ""].filter(Boolean).join(" ");
  if (text) notice(text, undo);
}

/** @param {string[]} ids @param {boolean} on @returns {Promise<boolean>} */
export async function favourite(ids, on) {
  try {
    sayDone(await act("favorite", { ids, remove: !on }));
    home.changed();
    return true;
  } catch (fault) { noticeFault(fault); return false; }
}

/** @param {string[]} ids @param {{id: string, name: string}} [album] @returns {Promise<boolean>} */
export async function trash(ids, album) {
  if (limited()) return false;
  const n = ids.length;
  const sure = await confirm({
    title: t("trash.ask", { n }), yes: t("remove"), danger: true,
    text: album ? t("trash.text.album", { n, album: clean(album.name) }) : t("trash.text", { n }),
  });
  if (!sure) return false;
  try {
    const done = await act("trash", album ? { ids, album: album.id } : { ids });
    home.changed();
    sayDone(done, t("trash.done", { n: done.changed }), async () => { await act("restore", { ids }).catch(noticeFault); home.changed(); });
    return true;
  } catch (fault) { noticeFault(fault); return false; }
}

/** Ends something, once that is meant; where originals would go, are nowhere or are looked for, asks once more. Nothing, if it is not.
 *  @param {string} what @param {any} body @param {{title: string, text?: string, yes: string}} ask @returns {Promise<any>} */
export async function end(what, body, ask) {
  const sure = (/** @type {string} */ text) => confirm({ ...ask, text, danger: true });
  if (ask.text && !await sure(ask.text)) return null;
  try {
    return await act(what, body);
  } catch (/** @type {any} */ fault) {
    const { why } = fault;
    if (!why || !/last|nowhere|away/.test(why.id)) throw fault;
    return await sure(why.id === "away" ? t("problem.unshared-away", why) : faultText(fault)) ? act(what, { ...body, last: true }) : null;
  }
}

/** Removes a device or a person. @param {string} what @param {any} body @param {string} name @returns {Promise<any>} */
export function removeFromFamily(what, body, name) {
  return end(what, body, { title: t("last.ask", { name }), yes: t("last.yes") });
}

/** @param {string[]} ids @returns {Promise<boolean>} */
export async function restore(ids) {
  try {
    const done = await act("restore", { ids });
    home.changed();
    sayDone(done, t("restore.done", { n: done.changed }));
    return true;
  } catch (fault) { noticeFault(fault); return false; }
}

/** @param {string[]} ids @returns {Promise<boolean>} */
export async function purge(ids) {
  if (limited()) return false;
  const n = ids.length;
  if (!await confirm({ title: t("purge.ask", { n }), text: t("purge.text", { n }), yes: t("purge"), danger: true })) return false;
  try {
    const done = await act("purge", { ids });
    home.changed();
    sayDone(done, t("purge.done", { n: done.changed }));
    return true;
  } catch (fault) { noticeFault(fault); return false; }
}

/** @param {string[]} ids @returns {Promise<boolean>} */
export async function addTo(ids) {
  if (limited()) return false;
  try {
    const album = await askAlbum(t("album.addto"));
    if (!album) return false;
    const done = await act("album", { do: "add", album: album.id, ids });
    home.changed();
    notice(t("album.added", { n: done.added, album: clean(album.name, 60) }));
    return true;
  } catch (fault) { noticeFault(fault); return false; }
}

/** Saves originals through the browser, one after another; what is elsewhere comes here first.
 *  @param {import("./months.js").Photo[]} photos */
export async function download(photos) {
  for (const photo of photos) {
    if (!photo.h1) {
      notice(t("fetch.asking"));
      try { await stream("/api/v1/fetch", { id: photo.id }); photo.h1 = true; } catch (fault) { noticeFault(fault); continue; }
    }
    const link = document.createElement("a");
    link.href = `/original/${photo.id}?download=1`;
    link.download = "";
    document.body.append(link);
    link.click();
    link.remove();
    if (photos.length > 1) await new Promise((on) => window.setTimeout(on, 250));
  }
}

/** @param {string} id @param {string} caption @returns {Promise<string|undefined>} */
export async function caption(id, caption) {
  const text = await prompt({ title: t("caption"), label: t("caption.label"), value: caption, yes: t("save"), long: true });
  if (text === undefined || text === caption) return undefined;
  try {
    sayDone(await act("caption", { id, text }));
    home.changed();
    return text;
  } catch (fault) { noticeFault(fault); return undefined; }
}

/** Puts right when a photo was taken. @param {any} asset @returns {Promise<boolean>} */
export async function retake(asset) {
  const before = (asset.taken || "").slice(0, 16);
  const send = async (/** @type {string} */ at) => { if (at !== before) sayDone(await act("retake", { ids: [asset.id], at })); };
  const at = await prompt({ title: t("retake"), label: t("retake.label"), value: before, yes: t("save"), type: "datetime-local", send });
  if (!at || at === before) return false;
  home.changed();
  return true;
}
