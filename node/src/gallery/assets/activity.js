// What the others did: photos that came, comments, favourites.
import { Component, html, Loading, Face, Link, icon } from "./ui.js";
import { t, clean, ago, has } from "./text.js";
import { act } from "./api.js";
import { home } from "./home.js";

/** Lines of one person doing the same thing stand together. @param {any[]} lines */
function together(lines) {
  /** @type {any[]} */
  const all = [];
  for (const line of lines) {
    const last = all[all.length - 1];
    const near = last && Math.abs(new Date(last.at).getTime() - new Date(line.at).getTime()) < 3600e3;
    if (near && last.what === line.what && last.by === line.by && line.what === "favorite") { last.assets.push(line.asset); last.count += 1; }
    else all.push({ ...line, assets: line.assets || [line.asset] });
  }
  return all;
}

/** The small picture of a photo, or its place where none is made yet. */
class Small extends Component {
  state = { none: false };
  componentDidUpdate(/** @type {any} */ before) { if (this.state.none && before.stamp !== this.props.stamp) this.setState({ none: false }); }
  render() {
    return this.state.none ? html`<span class="no-photo">${icon("photos")}</span>`
      : html`<img src=${`/thumb/${this.props.id}`} alt="" loading="lazy" onError=${() => this.setState({ none: true })}/>`;
  }
}

export class Activity extends Component {
  state = { stamp: 0 };
  componentDidMount() { this.forget = home.on("changed", () => this.setState({ stamp: this.state.stamp + 1 })); }
  componentWillUnmount() { if (this.forget) this.forget(); }
  /** @param {AbortSignal} stop */
  async load(stop) {
    /** @type {any[]} */
    const lines = [];
    await act("activity", {}, { signal: stop, line: (line) => { if (line.type !== "note" && line.type !== "progress") lines.push(line); } });
    return together(lines);
  }
  render() {
    return html`<div class="page narrow-page"><header class="page-head"><h1>${t("nav.activity")}</h1></header>
      <${Loading} stamp=${this.state.stamp} from=${(/** @type {any} */ stop) => this.load(stop)}>${(/** @type {any[]} */ all) => (all.length
        ? html`<ul class="activity">${all.map((one, nth) => html`<li key=${nth}><${Face} name=${one.by || "?"}/>
          <div class="grow"><p><strong>${clean(one.by || "?", 60)}</strong> ${has(`activity.${one.what}`) ? t(`activity.${one.what}`, { n: one.count }) : clean(one.what, 40)} <small class="dim">${ago(one.at)}</small></p>
            ${one.text && html`<p class="said">${clean(one.text, 1000)}</p>`}
            <p class="row-of-photos">${one.assets.slice(0, 6).map((/** @type {string} */ id) => html`<${Link} key=${id} href=${`/photos/${id}`} aria-label=${t("activity.look")}><${Small} id=${id} stamp=${this.state.stamp}/><//>`)}</p></div></li>`)}</ul>`
        : html`<div class="empty"><div class="empty-art">${icon("activity")}</div><p>${t("activity.none")}</p></div>`)}<//></div>`;
  }
}
