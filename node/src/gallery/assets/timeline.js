// A timeline: of everything, of an album, of the trash, of what was searched for.
import { Component, html, createRef, go, icon, isTyping, say, Trouble, notice, noticeFault } from "./ui.js";
import { t } from "./text.js";
import { get } from "./api.js";
import { Grid } from "./grid.js";
import { Months } from "./months.js";
import { Scrubber, yearMarks } from "./scrubber.js";
import { SelectionBar } from "./select.js";
import { tableOf, monthAtY, monthOf } from "./layout.js";
import { askDate } from "./pick.js";
import { home } from "./home.js";

/** Tables that are asked for until one has as many photos as the months that are looked at. */
const TRIES = 4;

export class Timeline extends Component {
  box = createRef();
  state = { month: 0, part: 0, arrived: 0, fault: null, total: -1, stamp: 0 };
  /** Ids of what is selected. @type {Set<string>} */
  picked = new Set();
  /** Photos of the selection by id, for what is said of it. @type {Map<string, import("./months.js").Photo>} */
  chosen = new Map();
  last = -1;
  version = -1;
  /** @type {Grid} */
  grid = /** @type {any} */ (undefined);
  /** @type {Months} */
  months = /** @type {any} */ (undefined);
  /** @type {import("./viewer.js").Viewer|null} */
  viewer = null;
  busy = false;
  again = false;
  /** Months that changed since the last look at them; nothing where any may have. @type {string[]|null} */
  doubts = [];

  componentDidMount() {
    const query = this.props.query || "";
    this.months = new Months(query, () => { if (this.grid) this.grid.draw(); });
    this.grid = new Grid(this.box.current, {
      months: this.months, picked: this.picked,
      open: (photo) => this.open(photo),
      moved: () => this.moved(),
      pick: (photo, how) => this.pick(photo, how),
    });
    this.keys = (/** @type {KeyboardEvent} */ event) => this.key(event);
    window.addEventListener("keydown", this.keys);
    this.forget = home.on("changed", (/** @type {any} */ told) => {
      if (!told || told.version === undefined || told.version !== this.version) this.refresh(told && told.months);
      else if (told.blobs || told.assets.length || told.months.length) {
        // The table has this change already, and what is known of its months may not.
        this.months.doubt(told.months.length ? told.months : null);
        this.grid.draw();
      }
    });
    this.placed = () => this.place();
    window.addEventListener("heirloom:place", this.placed);
    window.addEventListener("popstate", this.placed);
    this.load();
  }
  componentWillUnmount() {
    window.removeEventListener("keydown", /** @type {any} */ (this.keys));
    window.removeEventListener("heirloom:place", /** @type {any} */ (this.placed));
    window.removeEventListener("popstate", /** @type {any} */ (this.placed));
    if (this.forget) this.forget();
    if (this.viewer) this.viewer.close(true);
    window.clearTimeout(this.later);
    window.clearTimeout(this.idle);
    document.body.classList.remove("selecting");
    this.grid.end();
  }

  /** @returns {Promise<import("./layout.js").Table>} */
  async table() {
    const told = await get(`/api/v1/timeline${this.props.query ? `?${this.props.query}` : ""}`);
    this.version = told.version;
    return tableOf(told);
  }

  async load() {
    try {
      const table = await this.table();
      this.grid.show(table);
      this.setState({ total: table.total, fault: null });
      this.place(true);
    } catch (fault) { this.setState({ fault }); }
  }

  /** Something changed: one look at a time, and one more after it. @param {string[]|null} months */
  refresh(months) {
    this.doubts = months && months.length && this.doubts ? [...this.doubts, ...months] : null;
    window.clearTimeout(this.later);
    this.later = window.setTimeout(() => this.reload(), 60);
  }
  async reload() {
    if (this.busy) { this.again = true; return; }
    this.busy = true;
    try {
      const doubts = this.doubts;
      this.doubts = [];
      const { table, lists } = await this.whole();
      const before = this.grid.table;
      const shown = this.viewer && this.viewer.now ? this.viewer.now.id : "";
      // Now, with all of it at once: until there is a new table, the old months are what stands at its places.
      const moved = this.moves(before, table, lists);
      this.months.doubt(doubts);
      for (const [name, list] of lists) { this.months.keep(name, list); this.months.stale.delete(name); }
      const followed = shown ? await this.follow(shown, moved, table) : moved;
      const more = table.total - (before ? before.total : 0);
      const away = this.grid.map.top > 40;
      this.grid.show(table, moved);
      if (this.viewer) this.viewer.refresh(followed);
      this.setState({ total: table.total, arrived: more > 0 && away ? this.state.arrived + more : this.state.arrived });
    } catch (fault) { this.doubts = null; if (this.state.total < 0) this.setState({ fault }); }
    this.busy = false;
    if (this.again) { this.again = false; this.reload(); }
  }

  /** Photos of the table on show that have to be found again in the next one. */
  looked() { return [this.grid.anchor()?.photo ?? 0, this.grid.cursor, this.viewer ? this.viewer.index : 0]; }

  /** The next table, and the months of it that are looked at: both have as many photos. */
  async whole() {
    for (let tries = 1; ; tries += 1) {
      const table = await this.table();
      const shown = this.grid.table;
      const names = new Set(shown ? this.looked().filter((photo) => photo < shown.total).map((photo) => shown.months[monthOf(shown, photo)]) : []);
      /** @type {Map<string, import("./months.js").Photo[]>} */
      const lists = new Map();
      let late = false;
      await Promise.all([...names].map(async (name) => {
        const month = table.months.indexOf(name);
        const list = month < 0 ? null : await this.months.ask(name).catch(() => null);
        if (list && list.length === table.monthAt[month + 1] - table.monthAt[month]) lists.set(name, list);
        else if (list) late = true;
      }));
      // More may come all the time: then what has come is shown, and the rest by the next look.
      if (!late || tries === TRIES) return { table, lists };
    }
  }

  /** Where photos of the old table are in the new one: by id where the month is known, else by place in the month.
   *  @param {import("./layout.js").Table|null} before @param {import("./layout.js").Table} after
   *  @param {Map<string, import("./months.js").Photo[]>} lists months of the new one */
  moves(before, after, lists) {
    /** @type {Map<number, string>} */
    const ids = new Map();
    for (const photo of before ? this.looked() : []) {
      // What is seen there, before what is known by now.
      const id = this.grid.cells.get(photo)?.dataset.id || this.photoAt(photo)?.id;
      if (id) ids.set(photo, id);
    }
    const place = new Map(after.months.map((name, index) => [name, index]));
    return (/** @type {number} */ photo) => {
      if (!before) return photo;
      if (photo >= before.total) return after.total;
      const name = before.months[monthOf(before, photo)];
      const index = place.get(name);
      if (index === undefined) return Math.min(photo, after.total - 1);
      const [from, to] = [after.monthAt[index], after.monthAt[index + 1]];
      const id = ids.get(photo);
      const found = id ? (lists.get(name) || []).findIndex((one) => one.id === id) : -1;
      if (found >= 0) return from + found;
      return Math.min(from + photo - before.monthAt[monthOf(before, photo)], to - 1);
    };
  }

  /** Where the photo is that is looked at, also when another time was given to it.
   *  @param {string} id @param {(photo: number) => number} moved @param {import("./layout.js").Table} table */
  async follow(id, moved, table) {
    if (!this.viewer || this.photoAt(moved(this.viewer.index), table)?.id === id) return moved;
    const there = await this.find(id, table);
    return there < 0 ? moved : () => there;
  }

  /** Follows the address: `?at=2019-08`, or a photo to be opened. @param {boolean} [first] */
  async place(first) {
    const { at, photo } = this.props.where ? this.props.where() : /** @type {any} */ ({});
    if (!photo && this.viewer) { this.viewer.close(true); return; }
    if (photo && !this.viewer) {
      const found = await this.find(photo);
      if (found >= 0) { this.grid.focus(found, true); this.open(found, true); }
      else if (first && this.props.lost) { notice(t("error.E-NOT-FOUND")); this.props.lost(); }
      return;
    }
    if (at && (first || at !== this.at)) {
      const month = this.grid.table ? this.grid.table.months.findIndex((/** @type {string} */ name) => name <= at && name !== "undated") : -1;
      if (month >= 0) this.grid.goToMonth(month);
    }
    this.at = at;
  }

  /** Where a photo is, asked of the node for its month. @param {string} id @param {import("./layout.js").Table|null} [table] @returns {Promise<number>} */
  async find(id, table = this.grid.table) {
    if (!table) return -1;
    try {
      const told = await get(`/api/v1/asset/${encodeURIComponent(id)}`);
      const asset = told.asset || told;
      const names = [asset.taken ? asset.taken.slice(0, 7) : "undated", "undated"];
      for (const name of names) {
        const month = table.months.indexOf(name);
        if (month < 0) continue;
        const list = (!this.months.stale.has(name) && this.months.get(name)) || await this.months.load(name);
        const nth = list.findIndex((/** @type {any} */ one) => one.id === id || one.id === asset.id);
        if (nth >= 0) return table.monthAt[month] + nth;
      }
    } catch { /* told by who asked */ }
    return -1;
  }

  moved() {
    const { table, layout, map } = this.grid;
    if (!table || !layout || !table.months.length) return;
    const month = monthAtY(layout, map.top + 2);
    const part = map.end > 0 ? map.top / map.end : 0;
    if (month !== this.state.month || Math.abs(part - this.state.part) > 0.0005) this.setState({ month, part });
    if (map.top < 40 && this.state.arrived) this.setState({ arrived: 0 });
    window.clearTimeout(this.idle);
    this.idle = window.setTimeout(() => this.note(table.months[month], map.top), 400);
  }

  /** Keeps in the address which month is in sight, for who comes back to it. @param {string} month @param {number} top */
  note(month, top) {
    const base = this.props.base || "/photos";
    if (this.viewer || location.pathname !== base) return;
    const at = top > 40 && month !== "undated" ? month : null;
    if (new URLSearchParams(location.search).get("at") === at) return;
    this.at = at;
    history.replaceState(history.state, "", at ? `${base}?at=${at}` : base);
  }

  /** @param {number} photo @param {import("./layout.js").Table|null} [table] @returns {import("./months.js").Photo|undefined} */
  photoAt(photo, table = this.grid.table) {
    if (!table || photo < 0 || photo >= table.total) return undefined;
    const month = monthOf(table, photo);
    const list = this.months.get(table.months[month]);
    return list && list[photo - table.monthAt[month]];
  }

  /** @param {number} photo @param {{range: boolean, day?: boolean}} how */
  async pick(photo, how) {
    const table = this.grid.table;
    if (!table) return;
    let [from, to] = [photo, photo + 1];
    if (how.day) ({ from, to } = this.grid.dayRange(photo));
    else if (how.range && this.last >= 0) [from, to] = [Math.min(this.last, photo), Math.max(this.last, photo) + 1];
    for (let month = monthOf(table, from); month <= monthOf(table, to - 1); month += 1) {
      if (!this.months.get(table.months[month])) await this.months.load(table.months[month]).catch(noticeFault);
    }
    const all = [];
    for (let one = from; one < to; one += 1) { const known = this.photoAt(one); if (known) all.push(known); }
    const off = how.day ? all.every((one) => this.picked.has(one.id)) : !how.range && all.length === 1 && this.picked.has(all[0].id);
    for (const one of all) {
      if (off) { this.picked.delete(one.id); this.chosen.delete(one.id); }
      else { this.picked.add(one.id); this.chosen.set(one.id, one); }
    }
    this.last = photo;
    this.told();
  }
  told() {
    this.grid.draw();
    document.body.classList.toggle("selecting", this.picked.size > 0);
    say(t("select.count", { n: this.picked.size }));
    this.setState({ stamp: this.state.stamp + 1 });
  }
  clear() { this.picked.clear(); this.chosen.clear(); this.last = -1; this.told(); }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.defaultPrevented || isTyping(event) || this.viewer) return;
    if (event.key === "Escape" && this.picked.size) this.clear();
    else if (event.key === "g") this.goDate();
    else if (event.key === "?") home.keys();
    // What the bar offers for the selection has keys, the same as in the viewer.
    else if (this.picked.size) /** @type {HTMLElement|null} */ (document.querySelector(`.selection [data-key="${CSS.escape(event.key)}"]`))?.click();
  }
  async goDate() {
    const at = await askDate(this.grid.table ? this.grid.table.months : []);
    if (!at || !this.grid.table) return;
    const month = this.grid.table.months.findIndex((/** @type {string} */ name) => name <= at && name !== "undated");
    this.grid.goToMonth(month < 0 ? this.grid.table.months.length - 1 : month);
  }

  /** @param {number} photo @param {boolean} [fromAddress] */
  async open(photo, fromAddress) {
    if (this.viewer) return;
    const { Viewer } = await import("./viewer.js");
    if (this.viewer) return;
    this.viewer = new Viewer(this, photo, fromAddress === true, (last) => {
      this.viewer = null;
      const cell = last >= 0 && this.grid.table && last < this.grid.table.total;
      if (cell) this.grid.focus(last);
    });
  }

  render() {
    const { head, empty, bar, album, trashed } = this.props;
    const { total, fault, arrived, month, part } = /** @type {any} */ (this.state);
    const { table, layout } = this.grid || {};
    const marks = table && layout && this.box.current ? yearMarks(table, layout, this.box.current.clientHeight - 48) : [];
    return html`<section class=${`timeline ${total === 0 ? "bare" : ""}`} aria-label=${this.props.label || t("nav.photos")}>
      ${head || html`<h1 class="unseen">${t("nav.photos")}</h1>`}
      ${this.picked.size > 0 && html`<${SelectionBar} chosen=${[...this.chosen.values()]} album=${album} trashed=${trashed}
        clear=${() => this.clear()} more=${bar}/>`}
      ${fault && html`<${Trouble} fault=${fault} retry=${() => this.load()}/>`}
      ${total === 0 && empty}
      <div class="scroll" ref=${this.box} tabindex="-1"></div>
      ${arrived > 0 && html`<button type="button" class="pill" onClick=${() => { this.grid.goTo(0); this.grid.focus(0); this.setState({ arrived: 0 }); }}>
        ${icon("up")}${t("timeline.arrived", { n: arrived })}</button>`}
      ${table && layout && total > 0 && html`<${Scrubber} months=${table.months} month=${Math.min(month, table.months.length - 1)} part=${part} marks=${marks}
        monthAt=${(/** @type {number} */ p) => monthAtY(layout, p * layout.total)}
        to=${(/** @type {number} */ p) => this.grid.goTo(p * this.grid.map.end)}
        toMonth=${(/** @type {number} */ m) => this.grid.goToMonth(m)}/>`}
      ${total > 0 && html`<p class="unseen">${t("photos.count", { n: total })}</p>`}
    </section>`;
  }
}

/** The timeline of everything. */
export class Photos extends Component {
  render() {
    const where = () => {
      const found = /^\/photos\/([^/]+)$/.exec(location.pathname);
      return { photo: found && found[1], at: new URLSearchParams(location.search).get("at") };
    };
    return html`<${Timeline} query="" where=${where} lost=${() => go("/photos", true)} empty=${html`<${Empty}/>`}/>`;
  }
}

/** What stands where no photo is yet. */
const Empty = () => html`<div class="empty">
  <div class="empty-art">${icon("photos")}</div>
  <h2>${t("timeline.empty")}</h2>
  <p>${t("timeline.empty.text")}</p>
  <button type="button" class="main" onClick=${() => home.add()}>${icon("plus")}${t("add")}</button>
</div>`;
