// One photo or movie at a time, over the grid that keeps its place.
import PhotoSwipe from "./vendor/photoswipe.js";
import { html, render, icon, isTyping, notice, faultText, say, IconButton, Dialog, layer, go } from "./ui.js";
import { t, clean, wallTime, length } from "./text.js";
import { stream } from "./api.js";
import { home } from "./home.js";
import { RATIOS, monthOf } from "./layout.js";
import { Details } from "./details.js";
import { addTo, download, favourite, restore, purge, trash } from "./deeds.js";
import { node, photoName } from "./cell.js";

const FADE_MS = 3000;
/** How long one looks at a photo before its original is fetched from elsewhere. */
const DWELL_MS = 700;
/** What a browser shows by itself. */
const SHOWN = /\.(jpe?g|png|gif|webp|avif|bmp)$/i;

/** The longer side of a preview, in pixels. */
const PREVIEW_PX = 2048;

export class Viewer {
  /** @param {import("./timeline.js").Timeline} timeline @param {number} photo @param {boolean} fromAddress
   *  @param {(last: number) => void} closed */
  constructor(timeline, photo, fromAddress, closed) {
    this.timeline = timeline;
    this.index = photo;
    this.closed = closed;
    this.details = localStorage.getItem("details") === "1" && window.innerWidth > 900;
    this.pushed = !fromAddress;
    /** @type {{id: string, text: string, part: number}|null} */
    this.fetching = null;
    this.fade = 0;
    this.dwell = 0;
    this.swipe = new PhotoSwipe(this.options(photo));
    this.wire();
    this.swipe.init();
  }

  /** @param {number} index */
  options(index) {
    return {
      index, dataSource: [], loop: false, bgOpacity: 1, showHideAnimationType: /** @type {const} */ ("zoom"), wheelToZoom: true, showAnimationDuration: 220, hideAnimationDuration: 200,
      arrowPrev: false, arrowNext: false, close: false, zoom: false, counter: false, preloader: false, escKey: false,
      clickToCloseNonZoomable: false, imageClickAction: /** @type {const} */ ("zoom"), bgClickAction: /** @type {const} */ ("close"),
      tapAction: () => this.toggleControls(), doubleTapAction: /** @type {const} */ ("zoom"), returnFocus: false,
      mainClass: "viewer", preload: /** @type {[number, number]} */ ([1, 2]),
      // A small photo may grow to twice its size to fill the window.
      initialZoomLevel: /** @type {any} */ ((/** @type {any} */ level) => Math.min(2, level.panAreaSize.x / level.elementSize.x, level.panAreaSize.y / level.elementSize.y)),
      maxZoomLevel: 6, secondaryZoomLevel: /** @type {any} */ ((/** @type {any} */ level) => Math.max(1, level.initial * 2.5)),
      paddingFn: (/** @type {any} */ view) => {
        const beside = window.innerWidth > 900;
        return { top: 0, left: 0, right: this.details && beside ? 380 : 0, bottom: this.details && !beside ? Math.round(view.y * 0.62) : 0 };
      },
    };
  }

  /** @param {number} index */
  photo(index) { return this.timeline.photoAt(index); }
  get now() { return this.photo(this.index); }

  /** What PhotoSwipe shows at an index; what is not known yet has the right shape already. @param {number} index */
  item(index) {
    const table = /** @type {import("./layout.js").Table} */ (this.timeline.grid.table);
    const photo = this.photo(index);
    if (!photo) {
      const month = table.months[monthOf(table, index)];
      if (!this.timeline.months.asked.has(month)) {
        this.timeline.months.load(month).then(() => { if (this.swipe.isOpen) this.swipe.refreshSlideContent(index); }).catch(() => {});
      }
      const wide = RATIOS[table.ratio[index]] * 1000;
      return { type: "wait", width: wide, height: 1000 };
    }
    const [width, height] = [photo.w || 1600, photo.h || 1200];
    const cell = this.timeline.grid.cells.get(index);
    const element = cell ? /** @type {HTMLElement} */ (cell) : undefined;
    if (photo.k === "video") return { type: "movie", width, height, photo, element };
    if (photo.pv !== "made") return { type: "none", width: 900, height: 600, photo, element };
    return { type: "image", src: `/preview/${photo.id}`, msrc: `/thumb/${photo.id}`, width, height, alt: photoName(photo), photo, element };
  }

  wire() {
    const swipe = this.swipe;
    swipe.addFilter("numItems", () => (this.timeline.grid.table ? this.timeline.grid.table.total : 0));
    swipe.addFilter("itemData", (/** @type {any} */ _, /** @type {number} */ index) => this.item(index));
    swipe.addFilter("thumbEl", (/** @type {any} */ _, /** @type {any} */ data) => (data.element ? data.element.querySelector("img") : null));
    swipe.addFilter("placeholderSrc", (/** @type {any} */ src, /** @type {any} */ content) => content.data.msrc || src);
    swipe.addFilter("contentErrorElement", (/** @type {any} */ _, /** @type {any} */ content) => unseen(content.data));
    swipe.on("contentLoad", (/** @type {any} */ event) => this.content(event));
    // A small photo that was grown to fill the window is whole then: it swipes away like any other.
    swipe.on("zoomLevelsUpdate", (/** @type {any} */ { zoomLevels }) => { zoomLevels.fit = zoomLevels.initial; });
    swipe.on("change", () => this.changed());
    swipe.on("zoomPanUpdate", (/** @type {any} */ { slide }) => this.sharpen(slide));
    swipe.on("contentDeactivate", (/** @type {any} */ { content }) => { const movie = content.element && content.element.querySelector("video"); if (movie) movie.pause(); });
    swipe.on("keydown", (/** @type {any} */ event) => this.key(event));
    swipe.on("initialLayout", () => this.frame());
    swipe.on("openingAnimationEnd", () => swipe.element && swipe.element.classList.add("ready"));
    swipe.on("close", () => this.leave());
    swipe.on("destroy", () => this.gone());
  }

  /** Content that is not a picture: a movie, or a photo without a preview. @param {any} event */
  content(event) {
    const { content } = event;
    if (content.type === "image") return;
    event.preventDefault();
    const photo = content.data.photo;
    const place = document.createElement("div");
    place.className = `stage ${content.type}`;
    if (content.type === "movie") {
      if (photo.h1) place.append(this.movie(photo, 0));
      else {
        const poster = document.createElement("img");
        poster.alt = photoName(photo);
        poster.src = `/preview/${photo.id}`;
        place.append(poster);
      }
    } else if (content.type === "none") {
      const words = document.createElement("p");
      words.textContent = photo.pv === "pending" ? t("viewer.pending") : t("viewer.nopreview");
      const name = document.createElement("strong");
      name.textContent = clean(photo.n);
      place.append(name, words);
    }
    content.element = place;
    content.state = "loaded";
  }

  /** @param {any} photo @param {number} part */
  movie(photo, part) {
    const movie = document.createElement("video");
    movie.controls = part === 0;
    movie.playsInline = true;
    movie.preload = "metadata";
    if (photo.pv === "made") movie.poster = `/preview/${photo.id}`;
    movie.src = `/original/${photo.id}${part ? `?part=${part}` : ""}`;
    movie.setAttribute("aria-label", photoName(photo));
    // A neighbour that is only made ready says nothing: nobody looks at it yet.
    movie.addEventListener("error", () => { if (this.now && this.now.id === photo.id) notice(t("viewer.movie")); });
    return movie;
  }

  /** Zoomed beyond what the preview has, the original takes its place. @param {any} slide */
  sharpen(slide) {
    const photo = slide && slide.data.photo;
    const image = slide && slide.content && slide.content.element;
    if (!photo || slide.data.type !== "image" || !(image instanceof HTMLImageElement) || image.dataset.sharp) return;
    const shown = slide.currZoomLevel * Math.max(slide.width, slide.height) * (window.devicePixelRatio || 1);
    if (shown <= PREVIEW_PX * 1.05 || Math.max(slide.width, slide.height) <= PREVIEW_PX || !SHOWN.test(photo.n) || !photo.h1) return;
    image.dataset.sharp = "1";
    const sharp = new Image();
    sharp.src = `/original/${photo.id}`;
    sharp.decode().then(() => { image.src = sharp.src; }).catch(() => { /* the preview stays */ });
  }

  frame() {
    const root = /** @type {HTMLElement} */ (this.swipe.element);
    root.setAttribute("aria-label", t("viewer"));
    root.setAttribute("aria-modal", "true");
    this.place = document.createElement("div");
    this.place.className = "viewer-frame";
    root.append(this.place);
    const awake = () => this.awake();
    root.addEventListener("pointermove", awake);
    root.addEventListener("focusin", awake);
    root.addEventListener("keydown", awake);
    root.addEventListener("dblclick", (event) => {
      if (/** @type {HTMLElement} */ (event.target).closest(".pswp__img, .pswp__zoom-wrap") && matchMedia("(hover: hover)").matches) this.fullScreen();
    });
    this.draw();
    this.awake();
    root.focus();
  }

  awake() {
    const root = this.swipe.element;
    if (!root) return;
    root.classList.remove("faded");
    window.clearTimeout(this.fade);
    this.fade = window.setTimeout(() => {
      const inside = this.place && this.place.contains(document.activeElement);
      if (!inside && !this.details) root.classList.add("faded");
    }, FADE_MS);
  }
  toggleControls() {
    const root = /** @type {HTMLElement} */ (this.swipe.element);
    if (root.classList.toggle("faded")) window.clearTimeout(this.fade); else this.awake();
  }

  changed() {
    this.index = this.swipe.currIndex;
    const photo = this.now;
    window.clearTimeout(this.dwell);
    if (this.stopFetch) this.stopFetch.abort();
    this.fetching = null;
    const content = this.swipe.currSlide?.content;
    if (content?.element?.querySelector("video")?.error) notice(t("viewer.movie"));
    if (this.swipe.currSlide?.content.isError()) this.swipe.refreshSlideContent(this.index);
    if (photo) {
      this.address(photo.id);
      say(photoName(photo));
      if (!photo.h1) this.dwell = window.setTimeout(() => this.bring(photo), DWELL_MS);
    }
    this.draw();
  }

  /** @param {string} id */
  address(id) {
    const base = this.timeline.props.base || "/photos";
    const path = base === "/photos" ? `/photos/${id}` : `${base}${base.includes("?") ? "&" : "?"}photo=${id}`;
    if (location.pathname + location.search === path) return;
    if (this.pushed) { history.pushState({ inside: true }, "", path); this.pushed = false; this.stepped = true; }
    else history.replaceState(history.state, "", path);
  }

  /** Fetches an original that is elsewhere, and says from where and how far. @param {import("./months.js").Photo} photo */
  async bring(photo) {
    const stop = new AbortController();
    this.stopFetch = stop;
    const tell = (/** @type {string} */ text, part = 0) => { this.fetching = { id: photo.id, text, part }; this.draw(); };
    let from = "";
    tell(t("fetch.asking"));
    try {
      await stream("/api/v1/fetch", { id: photo.id }, { signal: stop.signal, line: (line) => {
        if (line.type === "from") from = line.devices.map((/** @type {string} */ name) => clean(name, 40)).join(", ");
        if (line.type !== "progress") return;
        tell(from ? t("fetch.from", { name: from }) : t("fetch.coming"), line.bytes_total ? line.bytes / line.bytes_total : 0);
      } });
      photo.h1 = true;
      this.fetching = null;
      if (this.now === photo) this.swipe.refreshSlideContent(this.index);
      this.draw();
    } catch (fault) {
      if (stop.signal.aborted) return;
      if (/** @type {any} */ (fault).id !== "E-NO-PEER") { tell(faultText(fault)); return; }
      const devices = /** @type {any} */ (fault).devices || [];
      const names = devices.map((/** @type {any} */ one) => clean(one.name || one, 40)).join(", ");
      tell(names ? t("fetch.elsewhere", { names }) : t("fetch.none"));
    }
  }

  /** The table has changed under the viewer. @param {(photo: number) => number} moved */
  refresh(moved) {
    const total = this.timeline.grid.table ? this.timeline.grid.table.total : 0;
    if (!total) { this.close(); return; }
    const next = Math.min(moved(this.index), total - 1);
    this.index = next;
    this.swipe.currIndex = next;
    this.swipe.potentialIndex = next;
    // What could not be shown may have come meanwhile.
    const failed = this.swipe.currSlide?.content.isError();
    for (const by of [-1, 0, 1]) if (by || !this.now || failed) this.swipe.refreshSlideContent(next + by);
    this.draw();
  }

  draw() {
    if (!this.place) return;
    this.place.classList.toggle("with-details", this.details);
    const photo = this.now;
    const total = this.timeline.grid.table ? this.timeline.grid.table.total : 0;
    render(html`<${Controls} viewer=${this} photo=${photo} first=${this.index === 0} last=${this.index === total - 1}/>`, this.place);
  }

  toggleDetails() {
    this.details = !this.details;
    localStorage.setItem("details", this.details ? "1" : "0");
    this.swipe.updateSize(true);
    this.draw();
  }
  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else if (this.swipe.element && this.swipe.element.requestFullscreen) this.swipe.element.requestFullscreen().catch(() => {});
  }
  async remove() {
    const photo = this.now;
    if (!photo) return;
    const { trashed, album } = this.timeline.props;
    await (trashed ? purge([photo.id]) : trash([photo.id], album));
  }
  async favour() {
    const photo = this.now;
    if (!photo) return;
    photo.f = !photo.f;
    this.draw();
    if (!await favourite([photo.id], photo.f)) { photo.f = !photo.f; this.draw(); }
  }
  /** Plays the movie, or the motion of a live photo. */
  play() {
    const photo = this.now;
    const slide = this.swipe.currSlide;
    const place = slide && slide.content && slide.content.element;
    if (!photo || !slide || !place) return;
    if (photo.k === "live") {
      const holder = /** @type {HTMLElement} */ (slide.container);
      const before = holder.querySelector("video");
      if (before) { before.remove(); return; }
      const movie = this.movie(photo, 1);
      movie.className = "motion pswp__img";
      movie.style.width = place.style.width;
      movie.style.height = place.style.height;
      movie.autoplay = true;
      movie.addEventListener("ended", () => movie.remove());
      holder.append(movie);
      return;
    }
    const movie = place.querySelector("video");
    if (movie) { if (movie.paused) movie.play().catch(() => {}); else movie.pause(); }
  }

  /** @param {any} event of PhotoSwipe */
  key(event) {
    const key = /** @type {KeyboardEvent} */ (event.originalEvent);
    const at = /** @type {HTMLElement} */ (key.target);
    // Out of a field in which nothing is written yet, Escape leads out.
    const leaves = key.key === "Escape" && !(/** @type {HTMLInputElement} */ (at).value);
    if (isTyping(key) && !leaves) { event.preventDefault(); return; }
    if ((key.key === " " || key.key === "Enter") && at.closest && at.closest("button, a, summary, video")) { event.preventDefault(); return; }
    if (key.key.startsWith("Arrow") && at.closest && at.closest("video, .details")) { event.preventDefault(); return; }
    /** @type {Record<string, () => void>} */
    const deeds = {
      Escape: () => this.close(), " ": () => this.play(), i: () => this.toggleDetails(), f: () => this.favour(),
      Delete: () => this.remove(), Enter: () => this.fullScreen(), "?": () => home.keys(),
      D: () => { if (this.now) download([this.now]); }, l: () => { if (this.now) addTo([this.now.id]); },
      Home: () => this.swipe.goTo(0), End: () => this.swipe.goTo(this.swipe.getNumItems() - 1),
      x: () => { this.timeline.pick(this.index, { range: false }); },
      Tab: () => this.tab(key),
    };
    const deed = deeds[key.key];
    if (!deed) return;
    event.preventDefault();
    if (key.key !== "Tab") key.preventDefault();
    deed();
  }
  /** Keeps the order of Tab within the viewer. @param {KeyboardEvent} key */
  tab(key) {
    const root = /** @type {HTMLElement} */ (this.swipe.element);
    const all = [...root.querySelectorAll("button:not([disabled]), a[href], summary, textarea, video[controls]")]
      .filter((one) => /** @type {HTMLElement} */ (one).offsetParent !== null && !one.closest('[aria-hidden="true"]'));
    if (!all.length) { key.preventDefault(); return; }
    const now = all.indexOf(/** @type {Element} */ (document.activeElement));
    const next = key.shiftKey ? (now <= 0 ? all.length - 1 : now - 1) : now + 1 >= all.length ? 0 : now + 1;
    key.preventDefault();
    /** @type {HTMLElement} */ (all[next]).focus();
  }

  /** @param {boolean} [quiet] the address has changed already */
  close(quiet) { this.quiet = quiet; this.swipe.close(); }
  leave() {
    window.clearTimeout(this.fade);
    window.clearTimeout(this.dwell);
    if (this.stopFetch) this.stopFetch.abort();
    if (this.place) { render(null, this.place); this.place.remove(); this.place = undefined; }
    if (this.quiet) return;
    if (this.stepped) history.back();
    else go(this.timeline.props.base || "/photos", true);
  }
  gone() { this.closed(this.index); }
}

/** What has no room over the photo on a phone. @param {import("./months.js").Photo} photo @param {boolean} mayAdd */
async function more(photo, mayAdd) {
  /** @type {() => any} */
  let next = () => {};
  await layer((done) => html`<${Dialog} title=${t("more")} onClose=${done}>${(/** @type {any} */ close) => html`<ul class="choices">
    <li><button type="button" onClick=${() => { next = () => download([photo]); close(); }}>${icon("download")}<span>${t("download")}</span></button></li>
    ${mayAdd && html`<li><button type="button" onClick=${() => { next = () => addTo([photo.id]); close(); }}>${icon("albums")}<span>${t("album.addto")}</span></button></li>`}</ul>`}<//>`);
  next();
}

/** What stands where a picture could not be shown: the small one, while the large one is on its way. @param {any} data */
function unseen(data) {
  const place = node("div", "stage none");
  if (data.msrc) {
    const small = /** @type {HTMLImageElement} */ (node("img", ""));
    small.alt = data.alt;
    small.src = data.msrc;
    small.addEventListener("error", () => small.remove());
    place.append(small);
  }
  place.append(node("p", "", t(data.msrc ? "viewer.coming" : "viewer.nothing")));
  return place;
}

/** What stands over the photo. */
function Controls(/** @type {any} */ { viewer, photo, first, last }) {
  const trashed = viewer.timeline.props.trashed;
  const limited = home.state && home.state.limited;
  const fetching = viewer.fetching;
  return html`
    <div class="viewer-top">
      <${IconButton} icon="close" label=${t("close")} onClick=${() => viewer.close()}/>
      <p class="viewer-when">${photo && photo.t ? wallTime(photo.t) : photo ? clean(photo.n, 60) : ""}${photo && photo.p ? html`<small>${clean(photo.p, 60)}</small>` : null}</p>
      <span class="space"/>
      ${photo && photo.k === "live" && html`<${IconButton} icon="live" label=${t("viewer.live")} onClick=${() => viewer.play()}/>`}
      ${photo && !trashed && html`<${IconButton} icon="heart" cls=${photo.f ? "on" : ""} label=${t(photo.f ? "unfavourite" : "favourite")} pressed=${photo.f} onClick=${() => viewer.favour()}/>`}
      ${photo && !trashed && !limited && html`<${IconButton} icon="albums" cls="wide-only" label=${t("album.addto")} onClick=${() => addTo([photo.id])}/>`}
      ${photo && html`<${IconButton} icon="download" cls="wide-only" label=${t("download")} onClick=${() => download([photo])}/>`}
      ${photo && trashed && html`<${IconButton} icon="restore" cls="own" label=${t("restore")} onClick=${() => restore([photo.id])}/>`}
      ${photo && !limited && html`<${IconButton} icon="trash" label=${t(trashed ? "purge" : "remove")} onClick=${() => viewer.remove()}/>`}
      ${photo && html`<span class="narrow"><${IconButton} icon="more" label=${t("more")} onClick=${() => more(photo, !trashed && !limited)}/></span>`}
      <${IconButton} icon="full" cls="wide-only" label=${t("viewer.full")} onClick=${() => viewer.fullScreen()}/>
      <${IconButton} icon="info" label=${t("details")} pressed=${viewer.details} onClick=${() => viewer.toggleDetails()}/>
    </div>
    ${!first && html`<${IconButton} icon="left" cls="step before" label=${t("viewer.before")} onClick=${() => viewer.swipe.prev()}/>`}
    ${!last && html`<${IconButton} icon="right" cls="step after" label=${t("viewer.after")} onClick=${() => viewer.swipe.next()}/>`}
    <div class="viewer-bottom">
      ${photo && photo.c && html`<p class="viewer-caption">${clean(photo.c, 500)}</p>`}
      ${photo && photo.k === "video" && !photo.h1 && photo.d && html`<p class="chip">${icon("play")}${length(photo.d)}</p>`}
      ${fetching && photo && fetching.id === photo.id && html`<p class="chip" role="status">
        ${fetching.part > 0 && html`<progress max="1" value=${fetching.part} aria-label=${t("progress")}/>`}${fetching.text}</p>`}
    </div>
    ${viewer.details && photo && html`<${Details} key=${photo.id} id=${photo.id} photo=${photo} close=${() => viewer.toggleDetails()}/>`}`;
}
