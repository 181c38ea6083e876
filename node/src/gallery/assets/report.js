// What became of files that were added: folded by outcome and, where one was not taken, by why.
import { Component, html } from "./ui.js";
import { t, clean, and, reasonText } from "./text.js";
import { get } from "./api.js";

/** What can become of a file. */
export const OUTCOMES = ["added", "present", "paired", "skipped", "failed"];
/** Files of one fold that are named. */
const NAMED = 200;

/** Whether a file stands apart by its reason: it was not taken, or not as one would think.
 *  @param {string} outcome @param {any} one */
const standsApart = (outcome, one) => one.unseen || outcome === "skipped" || outcome === "failed" || (outcome === "present" && / is in the trash; /.test(one.reason || ""));

/** The folds of a report.
 *  @param {any} run @returns {{key: string, outcome: string, text: string, n: number, files: any[]}[]} */
function folds(run) {
  const files = [...run.files.values()];
  return OUTCOMES.filter((name) => run.counts[name] > 0).flatMap((outcome) => {
    const all = files.filter((one) => one.outcome === outcome);
    const those = all.filter((one) => !standsApart(outcome, one));
    /** @type {Map<string, any[]>} */
    const why = new Map();
    for (const one of all.filter((one) => standsApart(outcome, one))) {
      const reason = one.reason ? reasonText(one.reason) : "";
      why.set(reason, [...(why.get(reason) || []), one]);
    }
    const told = [...why].map(([reason, some]) => ({ key: outcome + reason, outcome, text: [t(some[0].unseen ? "outcome.unseen" : `outcome.${outcome}`), reason].filter(Boolean).join(": "), n: some.length, files: some }));
    const n = run.counts[outcome] - told.reduce((sum, fold) => sum + fold.n, 0);
    return n > 0 ? [{ key: outcome, outcome, text: t(`outcome.${outcome}`), n, files: those }, ...told] : told;
  });
}

export class Report extends Component {
  state = { shown: "" };
  stop = new AbortController();
  componentDidMount() { this.look().catch(() => {}); }
  componentWillUnmount() { this.stop.abort(); }
  /** What was added and cannot be shown, as a damaged photo, is kept as it is and told apart. */
  async look() {
    for (const one of [...this.props.run.files.values()].filter((one) => one.outcome === "added" && one.asset).slice(0, NAMED)) {
      const told = await get(`/api/v1/asset/${one.asset}`, this.stop.signal);
      const { preview, preview_reason } = told.asset || told;
      if (preview !== "none") continue;
      Object.assign(one, { unseen: true, reason: preview_reason });
      this.setState({});
    }
  }
  render() {
    const { shown } = this.state;
    return html`<ul class="outcomes">${folds(this.props.run).map(({ key, outcome, text, n, files }) => html`<li key=${key}>
      <button type="button" aria-expanded=${String(shown === key)} onClick=${() => this.setState({ shown: shown === key ? "" : key })}><span class=${`mark ${outcome}`}/><span class="grow">${text}</span><strong>${n}</strong></button>
      ${shown === key && html`<ul class="files">${files.slice(0, NAMED).map((one) => html`<li key=${one.path}>${clean(one.path, 200)}</li>`)}
        ${files.length > NAMED && html`<li class="dim">${t("add.more", { n: files.length - NAMED })}</li>`}</ul>`}</li>`)}</ul>`;
  }
}

/** Albums of an import that are named. */
const ALBUMS = 4;
/** Where what was added is, and who else can see it there; a library has no name.
 *  @param {{albums: any[]}} it */
export function Places({ albums }) {
  const some = albums.filter((one) => one.added > 0);
  const place = (/** @type {any} */ one) => {
    const album = one.album ? clean(one.album, 80) : t("album.library");
    const who = and(one.seen_by.map((/** @type {string} */ name) => clean(name, 60)));
    return who ? t("add.place.seen", { n: one.added, album, who }) : t("add.place", { n: one.added, album });
  };
  return some.length > 0 && html`<ul class="dim">${some.slice(0, ALBUMS).map((one) => html`<li key=${one.id || one.album}>${place(one)}</li>`)}
    ${some.length > ALBUMS && html`<li>${t("add.places", { n: some.length - ALBUMS })}</li>`}</ul>`;
}

/** Saves the report as a file. @param {any} run */
export function saveReport(run) {
  const lines = [...run.files.values()].map((one) => `${one.outcome}\t${clean(one.path, 2000)}\t${one.reason ? reasonText(one.reason) : ""}`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${lines.join("\n")}\n`], { type: "text/plain" }));
  link.download = "heirloom-report.txt";
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
