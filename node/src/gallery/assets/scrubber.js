// The line of years at the right: drag, wheel or arrows lead to any month, exactly.
import { Component, html, createRef } from "./ui.js";
import { t, monthName } from "./text.js";

/** Years whose marks are nearer than this leave one out. */
const NEAR_PX = 22;

/** Marks of years by height. @param {import("./layout.js").Table} table @param {import("./layout.js").Layout} layout @param {number} tall */
export function yearMarks(table, layout, tall) {
  /** @type {{year: string, y: number, shown: boolean}[]} */
  const marks = [];
  let last = -Infinity;
  let seen = "";
  table.months.forEach((month, index) => {
    const year = month.slice(0, 4);
    if (year === seen || month === "undated") return;
    seen = year;
    const y = (layout.monthY[index] / Math.max(1, layout.total)) * tall;
    marks.push({ year, y, shown: y - last >= NEAR_PX });
    if (y - last >= NEAR_PX) last = y;
  });
  return marks;
}

export class Scrubber extends Component {
  rail = createRef();
  state = { hover: -1, drags: false };

  /** @param {number} clientY */
  at(clientY) {
    const place = this.rail.current.getBoundingClientRect();
    return Math.min(1, Math.max(0, (clientY - place.top) / place.height));
  }
  /** @param {PointerEvent} event */
  down(event) {
    event.preventDefault();
    this.rail.current.setPointerCapture(event.pointerId);
    this.setState({ drags: true });
    this.move(event, true);
  }
  /** @param {PointerEvent} event @param {boolean} [drags] */
  move(event, drags = this.state.drags) {
    const part = this.at(event.clientY);
    this.setState({ hover: part });
    if (drags) this.props.to(part);
  }
  /** @param {KeyboardEvent} event */
  key(event) {
    const { month, months } = this.props;
    const year = (/** @type {number} */ by) => {
      const now = months[month].slice(0, 4);
      let next = month;
      while (next + by >= 0 && next + by < months.length && months[next].slice(0, 4) === now) next += by;
      return next;
    };
    /** @type {Record<string, () => number>} */
    const moves = {
      ArrowUp: () => month - 1, ArrowLeft: () => month - 1, ArrowDown: () => month + 1, ArrowRight: () => month + 1,
      PageUp: () => year(-1), PageDown: () => year(1), Home: () => 0, End: () => months.length - 1,
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    this.props.toMonth(Math.max(0, Math.min(months.length - 1, moves[event.key]())));
  }
  render() {
    const { months, month, part, marks, monthAt } = this.props;
    if (months.length < 2) return null;
    const { hover, drags } = /** @type {any} */ (this.state);
    const told = hover >= 0 ? monthName(months[monthAt(hover)]) : "";
    return html`<div class=${`scrubber ${drags ? "drags" : ""}`} ref=${this.rail} role="slider" tabindex="0"
        aria-label=${t("scrubber")} aria-orientation="vertical" aria-valuemin="0" aria-valuemax=${months.length - 1}
        aria-valuenow=${month} aria-valuetext=${monthName(months[month])}
        onPointerDown=${(/** @type {any} */ e) => this.down(e)} onPointerMove=${(/** @type {any} */ e) => this.move(e)}
        onPointerUp=${() => this.setState({ drags: false, hover: -1 })} onPointerLeave=${() => { if (!drags) this.setState({ hover: -1 }); }}
        onPointerCancel=${() => this.setState({ drags: false, hover: -1 })} onKeyDown=${(/** @type {any} */ e) => this.key(e)}>
      ${marks.map((/** @type {any} */ mark) => html`<span key=${mark.year} class=${mark.shown ? "year" : "dot"} style=${{ top: `${mark.y}px` }}>${mark.shown ? mark.year : ""}</span>`)}
      <span class="thumb" style=${{ top: `${part * 100}%` }}/>
      ${hover >= 0 && html`<span class="bubble" style=${{ top: `${hover * 100}%` }}>${told}</span>`}
    </div>`;
  }
}
