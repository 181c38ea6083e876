// The grid of the timeline: only the cells in sight exist, and all of them stand where the layout says.
import { iconNode } from "./ui.js";
import { t, monthName, dayName } from "./text.js";
import { fillCell, node } from "./cell.js";
import { Mapped, cells, dayOf, isLike, lay, monthAtY, monthOf, rowOf, above } from "./layout.js";

/** Cells that may exist at once. */
const CELLS_MAX = 340;
const IDLE_MS = 140;

export class Grid {
  /**
   * @param {HTMLElement} box that scrolls
   * @param {{months: import("./months.js").Months, open: (photo: number) => void, moved: (grid: Grid) => void,
   *   picked: Set<string>, pick: (photo: number, how: {range: boolean, day?: boolean}) => void}} on
   */
  constructor(box, on) {
    this.box = box;
    this.on = on;
    this.spacer = node("div", "spacer");
    box.append(this.spacer);
    /** @type {import("./layout.js").Table|null} */
    this.table = null;
    /** @type {import("./layout.js").Layout|null} */
    this.layout = null;
    this.map = new Mapped(0, 0);
    /** @type {Map<number, HTMLElement>} */
    this.cells = new Map();
    /** @type {Map<string, HTMLElement>} */
    this.heads = new Map();
    this.cursor = 0;
    /** Whether the photo at the cursor is to have the focus again. */
    this.focused = false;
    this.frame = 0;
    this.idle = 0;
    this.watch = new ResizeObserver(() => this.resize());
    this.watch.observe(box);
    box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    box.addEventListener("keydown", (event) => this.key(event));
    box.addEventListener("click", (event) => this.click(event));
    // However a photo came to have the focus, the keys go on from there.
    box.addEventListener("focusin", (event) => {
      const cell = /** @type {HTMLElement|null} */ (/** @type {HTMLElement} */ (event.target).closest(".cell"));
      if (cell) { this.cursor = Number(cell.dataset.photo); this.roving(); }
    });
    this.touch();
  }

  end() {
    this.watch.disconnect();
    cancelAnimationFrame(this.frame);
    window.clearTimeout(this.idle);
    window.clearTimeout(this.hold);
    this.spacer.remove();
  }

  /** @returns {import("./layout.js").Measure} */
  measure() {
    const style = getComputedStyle(this.box);
    // A box that is hidden has no width, and needs none.
    const width = Math.max(100, Math.floor(this.box.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight)));
    const narrow = this.box.clientWidth < 600;
    const row = narrow ? 118 : this.box.clientWidth < 1100 ? 190 : 224;
    return { width, row, gap: narrow ? 3 : 6, dayGap: narrow ? 10 : 20, month: narrow ? 58 : 76, label: narrow ? 24 : 32 };
  }

  /** Takes a table; the photo that was at the top stays where it is. @param {import("./layout.js").Table} table
   *  @param {(photo: number) => number} [moved] where a photo of the old table is in the new one */
  show(table, moved = (photo) => photo) {
    const kept = this.anchor();
    const before = this.cursor;
    this.cursor = Math.max(0, Math.min(moved(this.cursor), table.total - 1));
    if (this.table && this.layout && before === this.cursor && isLike(this.table, table)) {
      // All cells stand where they stood; what they show is filled in as it comes.
      this.table = table;
      this.draw();
      return;
    }
    this.table = table;
    this.anew(() => { if (kept) this.map.goTo(this.layoutY(moved(kept.photo)) - kept.below); });
  }

  /** Draws everything anew, and gives the focus back to the photo that had it. @param {() => void} place the view */
  anew(place) {
    const at = /** @type {HTMLElement|null} */ (this.spacer.contains(document.activeElement) ? document.activeElement : null);
    // It may be out of sight, and is drawn for the focus alone.
    this.focused = Boolean(at && at.closest(".cell"));
    this.relay();
    place();
    this.place(true);
    const cell = this.focused && this.cells.get(this.cursor);
    this.focused = false;
    if (cell) /** @type {HTMLElement} */ (cell.firstElementChild).focus({ preventScroll: true });
  }

  relay() {
    if (!this.table) return;
    this.layout = lay(this.table, this.measure());
    const top = this.map.top;
    this.map = new Mapped(this.layout.total + 40, this.box.clientHeight);
    this.map.goTo(top);
    this.spacer.style.height = `${this.map.box}px`;
    for (const cell of this.cells.values()) cell.remove();
    for (const head of this.heads.values()) head.remove();
    this.cells.clear();
    this.heads.clear();
  }

  resize() {
    if (!this.table || !this.layout) return;
    const measure = this.measure();
    if (measure.width === this.layout.measure.width && this.map.view === this.box.clientHeight) return;
    const kept = this.anchor();
    this.anew(() => { if (kept) this.map.goTo(this.layoutY(kept.photo) - kept.below); });
  }

  /** @param {number} photo */
  layoutY(photo) {
    const layout = /** @type {import("./layout.js").Layout} */ (this.layout);
    return layout.rows ? layout.y[Math.max(0, rowOf(layout, Math.max(0, photo)))] : 0;
  }

  /** The photo at the top of the view, and how far below it stands; none at the very top. */
  anchor() {
    const { layout, map } = this;
    if (!layout || !layout.rows || map.top < 8) return null;
    const row = Math.min(layout.rows - 1, above(layout.y, map.top, layout.rows));
    return { photo: layout.first[row], below: layout.y[row] - map.top };
  }

  /** Moves the box to where the map says, then draws. @param {boolean} [anew] */
  place(anew) {
    if (anew) this.spacer.style.height = `${this.map.box}px`;
    this.box.scrollTop = this.map.scrolled;
    // The box may not go as far as it was asked to.
    const really = Math.round(this.box.scrollTop);
    if (Math.abs(really - this.map.scrolled) > 1) this.map.scrolled = really;
    this.draw();
  }

  /** @param {number} top in the content */
  goTo(top) { this.map.goTo(top); this.place(); }
  /** @param {number} month */
  goToMonth(month) { if (this.layout) this.goTo(this.layout.monthY[month]); }

  scrolled() {
    if (Math.abs(this.box.scrollTop - this.map.scrolled) < 0.5) return;
    this.map.scroll(this.box.scrollTop);
    if (!this.frame) this.frame = requestAnimationFrame(() => { this.frame = 0; this.draw(); });
    window.clearTimeout(this.idle);
    this.idle = window.setTimeout(() => {
      if (this.map.box !== this.map.content && this.map.home !== this.map.scrolled) { this.map.goTo(this.map.top); this.place(); }
    }, IDLE_MS);
  }

  /** Rows that are drawn: the view and a part before and after, fewer where rows are full. */
  window() {
    const layout = /** @type {import("./layout.js").Layout} */ (this.layout);
    for (let margin = this.map.view * 0.6; ; margin /= 2) {
      const from = Math.max(0, above(layout.y, this.map.top - margin, layout.rows) - 2);
      const to = Math.min(layout.rows, above(layout.y, this.map.top + this.map.view + margin, layout.rows));
      if (layout.first[to] - layout.first[from] <= CELLS_MAX || margin < 40) return { from, to };
    }
  }

  draw() {
    const { table, layout } = this;
    if (!table || !layout) return;
    const { from, to } = layout.rows ? this.window() : { from: 0, to: 0 };
    const keep = new Set();
    const names = new Set();
    const months = new Set();
    for (let row = from; row < to; row += 1) this.drawRow(row, keep, names, months);
    if (this.focused && layout.rows && !keep.has(this.cursor)) this.drawRow(rowOf(layout, this.cursor), keep, names, months);
    const at = this.map.top;
    for (let month = monthAtY(layout, at - this.map.view); month < table.months.length && layout.monthY[month] < at + this.map.view * 1.6; month += 1) {
      this.head(`m${month}`, "month", monthName(table.months[month]), 0, layout.monthY[month], layout.measure.width, names);
    }
    // The cell that has the focus stays, wherever it is.
    const focused = this.cells.get(this.cursor);
    if (focused && focused.contains(document.activeElement) && !keep.has(this.cursor)) {
      keep.add(this.cursor);
      const row = rowOf(layout, this.cursor);
      focused.style.transform = `translate(${focused.dataset.x}px, ${layout.y[row] + this.map.shift}px)`;
    }
    for (const [photo, cell] of this.cells) if (!keep.has(photo)) { cell.remove(); this.cells.delete(photo); }
    for (const [name, head] of this.heads) if (!names.has(name)) { head.remove(); this.heads.delete(name); }
    this.roving();
    this.on.months.want([...months]);
    this.on.moved(this);
  }

  /** @param {number} row @param {Set<number>} keep @param {Set<string>} names @param {Set<string>} months */
  drawRow(row, keep, names, months) {
    const table = /** @type {import("./layout.js").Table} */ (this.table);
    const layout = /** @type {import("./layout.js").Layout} */ (this.layout);
    const month = monthOf(table, layout.first[row]);
    months.add(table.months[month]);
    const known = this.on.months.get(table.months[month]);
    // What has come of another table has other photos at these places: they are shown with their own table.
    const details = known && known.length === table.monthAt[month + 1] - table.monthAt[month] ? known : undefined;
    const made = cells(table, layout, row);
    made.forEach((one, nth) => {
      keep.add(one.photo);
      let cell = this.cells.get(one.photo);
      if (!cell) {
        cell = node("div", "cell");
        cell.append(node("a", "look"));
        cell.dataset.photo = String(one.photo);
        cell.dataset.x = String(one.x);
        cell.style.width = `${one.width}px`;
        cell.style.height = `${layout.height[row]}px`;
        this.cells.set(one.photo, cell);
        this.spacer.append(cell);
      }
      cell.style.transform = `translate(${one.x}px, ${layout.y[row] + this.map.shift}px)`;
      const photo = details && details[one.photo - table.monthAt[month]];
      if (photo) fillCell(cell, photo, this.on.picked);
      if (one.day && layout.labels[row]) {
        const next = made.slice(nth + 1).find((later) => later.day);
        const wide = (next ? next.x - layout.measure.gap : layout.measure.width) - one.x;
        this.head(`d${one.photo}`, "day", dayName(table.months[month], one.day, layout.measure.label < 30), one.x,
          layout.y[row] - layout.measure.label, wide, names);
      }
    });
  }

  /** @param {string} name @param {string} kind @param {string} text @param {number} x @param {number} y
   *  @param {number} wide @param {Set<string>} names */
  head(name, kind, text, x, y, wide, names) {
    names.add(name);
    let head = this.heads.get(name);
    if (!head) {
      head = kind === "month" ? node("h2", "month", text) : node("div", "day");
      if (kind === "day") {
        head.append(node("span", "", text));
        const pick = node("button", "day-pick");
        pick.setAttribute("type", "button");
        pick.setAttribute("aria-label", t("select.day", { day: text }));
        pick.tabIndex = -1;
        pick.dataset.day = name.slice(1);
        pick.append(iconNode("check"));
        head.append(pick);
      }
      this.heads.set(name, head);
      this.spacer.append(head);
    }
    head.style.width = `${Math.max(0, wide)}px`;
    head.style.transform = `translate(${x}px, ${y + this.map.shift}px)`;
  }

  /** One cell is in the order of Tab: where the arrows are. */
  roving() {
    const drawn = [...this.cells.keys()];
    if (drawn.length && !this.cells.has(this.cursor)) this.cursor = this.inSight();
    for (const [photo, cell] of this.cells) {
      /** @type {HTMLElement} */ (cell.firstElementChild).tabIndex = photo === this.cursor ? 0 : -1;
    }
  }

  /** The first photo that is wholly in view. */
  inSight() {
    const layout = /** @type {import("./layout.js").Layout} */ (this.layout);
    const row = Math.min(layout.rows - 1, above(layout.y, this.map.top - 1, layout.rows));
    return layout.first[Math.max(0, row)];
  }

  /** Moves the focus to a photo, and the view as little as it takes. @param {number} photo @param {boolean} [quiet] */
  focus(photo, quiet) {
    const { table, layout, map } = this;
    if (!table || !layout || !table.total) return;
    this.cursor = Math.max(0, Math.min(photo, table.total - 1));
    const row = rowOf(layout, this.cursor);
    const [top, bottom] = [layout.y[row] - layout.measure.label - 8, layout.y[row] + layout.height[row] + 8];
    if (top < map.top) this.goTo(top);
    else if (bottom > map.top + map.view) this.goTo(bottom - map.view);
    else this.draw();
    const cell = this.cells.get(this.cursor);
    if (cell && !quiet) /** @type {HTMLElement} */ (cell.firstElementChild).focus({ preventScroll: true });
  }

  /** The photo above or below, where its middle is. @param {number} by */
  vertical(by) {
    const table = /** @type {import("./layout.js").Table} */ (this.table);
    const layout = /** @type {import("./layout.js").Layout} */ (this.layout);
    const row = rowOf(layout, this.cursor);
    const next = Math.max(0, Math.min(layout.rows - 1, row + by));
    const one = cells(table, layout, row).find((cell) => cell.photo === this.cursor);
    if (!one || next === row) return this.cursor;
    const middle = one.x + one.width / 2;
    let best = layout.first[next];
    let least = Infinity;
    for (const cell of cells(table, layout, next)) {
      const far = Math.abs(cell.x + cell.width / 2 - middle);
      if (far < least) { least = far; best = cell.photo; }
    }
    return best;
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (!this.table || !this.layout || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = /** @type {HTMLElement} */ (event.target);
    if (!at.closest(".cell")) return;
    const layout = this.layout;
    const rows = Math.max(1, Math.floor(this.map.view / layout.measure.row) - 1);
    /** @type {Record<string, () => number>} */
    const moves = {
      ArrowLeft: () => this.cursor - 1, ArrowRight: () => this.cursor + 1,
      ArrowUp: () => this.vertical(-1), ArrowDown: () => this.vertical(1),
      PageUp: () => this.vertical(-rows), PageDown: () => this.vertical(rows),
      Home: () => 0, End: () => /** @type {any} */ (this.table).total - 1,
    };
    if (event.key in moves) {
      event.preventDefault();
      this.focus(moves[event.key]());
      if (event.shiftKey && event.key.startsWith("Arrow")) this.on.pick(this.cursor, { range: true });
    } else if (event.key === "x" || event.key === " ") {
      event.preventDefault();
      this.on.pick(this.cursor, { range: event.shiftKey });
    } else if (event.key === "Enter" && at.classList.contains("check")) {
      event.preventDefault();
      this.on.pick(this.cursor, { range: false });
    }
  }

  /** @param {MouseEvent} event */
  click(event) {
    const at = /** @type {HTMLElement} */ (event.target);
    const day = /** @type {HTMLElement|null} */ (at.closest(".day-pick"));
    if (day) { this.on.pick(Number(day.dataset.day), { range: false, day: true }); return; }
    const cell = /** @type {HTMLElement|null} */ (at.closest(".cell"));
    if (!cell || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (this.held) { this.held = false; return; }
    this.cursor = Number(cell.dataset.photo);
    this.roving();
    if (at.closest(".check") || this.on.picked.size > 0) this.on.pick(this.cursor, { range: event.shiftKey });
    else if (cell.dataset.id) { this.focus(this.cursor); this.on.open(this.cursor); }
  }

  /** A long press selects; dragging on selects more. */
  touch() {
    this.hold = 0;
    this.held = false;
    let began = { x: 0, y: 0 };
    let dragging = false;
    const stop = () => { window.clearTimeout(this.hold); dragging = false; };
    this.box.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "touch") return;
      const cell = /** @type {HTMLElement|null} */ (/** @type {HTMLElement} */ (event.target).closest(".cell"));
      if (!cell) return;
      this.held = false;
      began = { x: event.clientX, y: event.clientY };
      this.hold = window.setTimeout(() => {
        this.held = dragging = true;
        this.on.pick(Number(cell.dataset.photo), { range: false });
      }, 450);
    });
    this.box.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "touch") return;
      if (!dragging && Math.hypot(event.clientX - began.x, event.clientY - began.y) > 10) window.clearTimeout(this.hold);
    });
    this.box.addEventListener("touchmove", (event) => {
      if (!dragging) return;
      event.preventDefault();
      const finger = event.touches[0];
      const under = document.elementFromPoint(finger.clientX, finger.clientY);
      const cell = /** @type {HTMLElement|null} */ (under && under.closest(".cell"));
      if (cell) this.on.pick(Number(cell.dataset.photo), { range: true });
    }, { passive: false });
    for (const name of ["pointerup", "pointercancel"]) this.box.addEventListener(name, stop);
    this.box.addEventListener("contextmenu", (event) => { if (this.held || dragging) event.preventDefault(); });
  }

  /** The day that a photo belongs to, from its first to behind its last. @param {number} photo */
  dayRange(photo) {
    const table = /** @type {import("./layout.js").Table} */ (this.table);
    const day = dayOf(table, photo);
    return { from: table.dayAt[day], to: table.dayAt[day + 1] };
  }
}
