// One cell of the grid: its picture, its name for who does not see it, its marks.
import { iconNode } from "./ui.js";
import { t, clean, wallTime, length } from "./text.js";

/** @param {string} tag @param {string} cls @param {string} [text] */
export function node(tag, cls, text) {
  const made = document.createElement(tag);
  made.className = cls;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** What a photo is called. @param {import("./months.js").Photo} photo @returns {string} */
export function photoName(photo) {
  const parts = [t(`kind.${photo.k}`)];
  if (photo.t) parts.push(wallTime(photo.t));
  if (photo.p) parts.push(clean(photo.p, 80));
  if (photo.c) parts.push(clean(photo.c, 120));
  // What is seen is said: where there is no picture, its name stands in its place.
  if (photo.pv !== "made" || (!photo.c && !photo.t)) parts.push(clean(photo.n, 60));
  if (photo.h1 && photo.copies <= 1) parts.push(t("badge.here"));
  return parts.join(", ");
}

/** Cells whose picture was not there, and what was known of the photo then. @type {WeakMap<HTMLElement, import("./months.js").Photo>} */
const unshown = new WeakMap();

/** Shows a photo in its cell, once its details are known; draws only what changed.
 * @param {HTMLElement} cell @param {import("./months.js").Photo} photo @param {Set<string>} chosen ids of what is selected */
export function fillCell(cell, photo, chosen) {
  const picked = chosen.has(photo.id);
  const state = `${photo.id}/${photo.pv}/${photo.f}/${photo.h1}/${photo.copies}/${picked}/${chosen.size > 0}/${photo.c}`;
  // What was asked for too early is asked for again once anything is heard of it.
  const again = unshown.has(cell) && unshown.get(cell) !== photo;
  if (cell.dataset.state === state && !again) return;
  const fresh = again || cell.dataset.id !== photo.id || cell.dataset.pv !== photo.pv;
  cell.dataset.state = state;
  cell.dataset.id = photo.id;
  cell.dataset.pv = photo.pv;
  const look = /** @type {HTMLElement} */ (cell.firstElementChild);
  look.setAttribute("href", `/photos/${photo.id}`);
  look.setAttribute("aria-label", photoName(photo) + (picked ? `, ${t("select.selected")}` : ""));
  if (fresh) {
    // The link itself stays where it is: it may have the focus.
    while (cell.lastElementChild !== look) /** @type {Element} */ (cell.lastElementChild).remove();
    look.replaceChildren();
    cell.classList.remove("blank");
    unshown.delete(cell);
    if (photo.pv === "made") {
      const image = /** @type {HTMLImageElement} */ (node("img", ""));
      image.alt = "";
      image.decoding = "async";
      image.draggable = false;
      image.addEventListener("load", () => image.classList.add("there"));
      image.addEventListener("error", () => {
        if (!image.isConnected) return;
        image.remove();
        cell.classList.add("blank");
        unshown.set(cell, photo);
      });
      image.src = `/thumb/${photo.id}`;
      // One that was shown before does not fade in again.
      if (image.complete && image.naturalWidth) image.classList.add("there");
      look.append(image);
    } else {
      cell.classList.add("blank");
      look.append(node("span", "blank-name", clean(photo.n, 60)));
    }
    const check = node("button", "check");
    check.setAttribute("type", "button");
    check.tabIndex = -1;
    check.append(iconNode("check"));
    cell.append(node("span", "badges"), check);
  }
  cell.classList.toggle("picked", picked);
  const check = /** @type {HTMLElement} */ (cell.querySelector(".check"));
  check.setAttribute("aria-label", t(picked ? "select.off" : "select.on"));
  badges(/** @type {HTMLElement} */ (cell.querySelector(".badges")), photo);
}

/** @param {HTMLElement} place @param {import("./months.js").Photo} photo */
function badges(place, photo) {
  place.replaceChildren();
  if (photo.k === "video") {
    const badge = node("span", "badge", photo.d ? length(photo.d) : "");
    badge.prepend(iconNode("play"));
    place.append(badge);
  }
  if (photo.k === "live") { const badge = node("span", "badge"); badge.append(iconNode("live")); place.append(badge); }
  if (photo.k === "raw") place.append(node("span", "badge", "RAW"));
  if (photo.f) { const badge = node("span", "badge heart"); badge.append(iconNode("heart")); place.append(badge); }
  if (photo.h1 && photo.copies <= 1) {
    const badge = node("span", "badge here");
    badge.title = t("badge.here");
    place.append(badge);
  }
}
