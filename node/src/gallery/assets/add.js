// Adding photos: dropped, picked, or a folder; the node does the work, the card says how far it is.
import { Component, html, icon, layer, Dialog, IconButton, say, noticeFault, createRef } from "./ui.js";
import { t, clean, size, has } from "./text.js";
import { act, get, post, send, rows } from "./api.js";
import { home } from "./home.js";

/** Files that travel at once. */
const AT_ONCE = 3;
const OUTCOMES = ["added", "present", "paired", "skipped", "failed"];
/** Also what has come and is imported when the rest is there. */
const COUNTED = [...OUTCOMES, "waiting"];

/** Everything below a dropped folder. @param {any} entry @param {string} path @param {{file: File, path: string}[]} into */
async function walk(entry, path, into) {
  if (entry.isFile) {
    const file = await new Promise((done, fail) => entry.file(done, fail)).catch(() => null);
    if (file) into.push({ file, path: path + entry.name });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((done, fail) => reader.readEntries(done, fail)).catch(() => []);
    if (!some.length) break;
    for (const one of some) await walk(one, `${path}${entry.name}/`, into);
  }
}

/** @param {DataTransfer} dropped */
async function filesOf(dropped) {
  /** @type {{file: File, path: string}[]} */
  const all = [];
  const entries = [...dropped.items].map((item) => (item.webkitGetAsEntry ? item.webkitGetAsEntry() : null)).filter(Boolean);
  if (entries.length) for (const entry of entries) await walk(entry, "", all);
  else for (const file of dropped.files) all.push({ file, path: file.name });
  return all;
}

/** @param {FileList} list */
const listed = (list) => [...list].map((file) => ({ file, path: /** @type {any} */ (file).webkitRelativePath || file.name }));

export const adding = {
  /** @type {any} */
  card: null,
  open() { if (this.card) this.card.ask(); },
  /** @param {string} album */
  openFor(album) { if (this.card) this.card.ask(album); },
  /** Photos of a folder on this device, without a copy through the browser. @param {string} path */
  folder(path) { if (this.card) this.card.importPath(path); else this.waits = path; },
  /** A folder that was named before the page was there. */
  waits: "",
};

export class Adding extends Component {
  state = { run: null, over: false, folded: false, shown: "" };
  componentDidMount() {
    adding.card = this;
    this.forget = home.on("progress", (told) => this.heard(told));
    let depth = 0;
    const hasFiles = (/** @type {DragEvent} */ e) => e.dataTransfer && [...e.dataTransfer.types].includes("Files");
    window.addEventListener("dragenter", (e) => { if (hasFiles(e)) { depth += 1; this.setState({ over: true }); } });
    window.addEventListener("dragleave", (e) => { if (hasFiles(e)) { depth -= 1; if (depth <= 0) { depth = 0; this.setState({ over: false }); } } });
    window.addEventListener("dragover", (e) => { if (hasFiles(e)) e.preventDefault(); });
    window.addEventListener("drop", async (e) => {
      if (!hasFiles(e) || !e.dataTransfer) return;
      e.preventDefault();
      depth = 0;
      this.setState({ over: false });
      const within = /^\/albums\/([^/]+)$/.exec(location.pathname);
      this.take(await filesOf(e.dataTransfer), within ? within[1] : undefined);
    });
    this.catchUp();
    if (adding.waits) this.importPath(adding.waits);
    adding.waits = "";
  }
  componentWillUnmount() { adding.card = null; if (this.forget) this.forget(); }

  /** What the node was doing when this page was opened. */
  async catchUp() {
    try {
      const told = await get("/api/v1/imports");
      const running = told.batches.find((/** @type {any} */ one) => !one.done && one.waiting > 0);
      if (running && !this.state.run) this.setState({ run: { ...blank(0, 0), batch: running.batch, elsewhere: true } }, () => this.heard(running));
    } catch { /* a node without imports */ }
  }
  /** @param {any} told */
  heard(told) {
    const run = /** @type {any} */ (this.state.run);
    if (!run || !run.elsewhere || told.batch !== run.batch) return;
    // What was sent is imported to its end, whether or not anybody looks.
    const counts = Object.fromEntries(COUNTED.map((name) => [name, name === "waiting" ? 0 : told[name] || 0]));
    const ended = told.done || told.waiting === 0;
    this.setState({ run: { ...run, done: told.received - told.waiting, total: told.received, counts, ended, elsewhere: !ended } });
  }

  /** @param {string} [album] */
  async ask(album) {
    await layer((done) => html`<${Dialog} title=${t("add")} onClose=${done}>${(/** @type {any} */ close) => html`
      <${Choices} album=${album} close=${close} take=${(/** @type {any} */ files, /** @type {any} */ into) => { close(); this.take(files, into); }}/>`}<//>`);
  }

  /** @param {{file: File, path: string}[]} files @param {string} [album] */
  async take(files, album) {
    if (!files.length) return;
    const before = /** @type {any} */ (this.state.run);
    if (before && !before.ended) { before.queue.push(...files); before.total += files.length; before.bytesTotal += files.reduce((sum, one) => sum + one.file.size, 0); this.setState({}); return; }
    const run = { ...blank(files.length, files.reduce((sum, one) => sum + one.file.size, 0)), queue: [...files], album, batch: [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("") };
    this.run = run;
    this.setState({ run, folded: false });
    await Promise.all(Array.from({ length: AT_ONCE }, () => this.carry(run)));
    if (run.stop.signal.aborted) return;
    try {
      const told = await post(`/api/v1/upload/done?batch=${run.batch}`);
      const text = await told.text();
      const lines = text.trim().split("\n").filter(Boolean).map((line) => JSON.parse(line));
      // What was paired or skipped is only known when all are there.
      for (const line of lines) if (line.type === "file") this.settle(run, line.path, line);
      const sum = lines.find((line) => line.type === "summary") || lines[lines.length - 1];
      if (sum) for (const name of OUTCOMES) if (typeof sum[name] === "number" && sum[name] > run.counts[name]) run.counts[name] = sum[name];
    } catch (fault) { noticeFault(fault); }
    run.ended = true;
    this.setState({ run });
    say(t("add.ended", { n: run.counts.added }));
    home.changed();
  }

  /** @param {any} run */
  async carry(run) {
    while (run.queue.length && !run.stop.signal.aborted) {
      const { file, path } = run.queue.shift();
      let told = 0;
      const progress = (/** @type {number} */ sent) => { run.bytes += sent - told; told = sent; this.soon(); };
      const query = new URLSearchParams({ batch: run.batch, name: file.name, path });
      if (run.album) query.set("album", run.album);
      try {
        this.settle(run, path, await send(`/api/v1/upload?${query}`, file, progress, run.stop.signal), file);
      } catch (fault) {
        if (run.stop.signal.aborted) return;
        this.settle(run, path, { outcome: "failed", reason: /** @type {any} */ (fault).message, id: /** @type {any} */ (fault).id }, file);
      }
      run.bytes += file.size - told;
      run.done += 1;
      this.soon();
    }
  }
  /** @param {any} run @param {string} path @param {any} line @param {File} [file] */
  settle(run, path, line, file) {
    const before = run.files.get(path);
    if (before) run.counts[before.outcome] -= 1;
    const outcome = COUNTED.includes(line.outcome) ? line.outcome : "failed";
    run.files.set(path, { path, outcome, reason: line.reason, file: file || (before && before.file), id: line.id });
    run.counts[outcome] += 1;
  }
  soon() { if (!this.drawn) this.drawn = requestAnimationFrame(() => { this.drawn = 0; this.setState({}); }); }

  /** @param {string} path */
  async importPath(path) {
    const run = { ...blank(0, 0), node: true };
    this.setState({ run, folded: false });
    try {
      const sum = await act("import", { paths: [path] }, { signal: run.stop.signal, line: (line) => {
        if (line.type === "file") this.settle(run, line.path, line);
        if (line.type === "progress") { run.done = line.done; run.total = line.total; run.bytes = line.bytes; run.bytesTotal = line.bytes_total; }
        this.soon();
      } });
      for (const name of OUTCOMES) run.counts[name] = sum[name];
    } catch (fault) { if (!run.stop.signal.aborted) run.fault = fault; }
    run.ended = true;
    this.setState({ run });
    home.changed();
  }
  stop() {
    const run = /** @type {any} */ (this.state.run);
    run.stop.abort();
    this.setState({ run: null });
    home.changed();
  }
  again() {
    const run = /** @type {any} */ (this.state.run);
    const failed = [...run.files.values()].filter((one) => one.outcome === "failed" && one.file);
    this.setState({ run: null }, () => this.take(failed.map(({ file, path }) => ({ file, path })), run.album));
  }

  render() {
    const { run, over, folded, shown } = /** @type {any} */ (this.state);
    return html`${over && html`<div class="dropping">${icon("plus")}<p>${t("add.drop")}</p></div>`}
      ${run && html`<${Card} run=${run} folded=${folded} shown=${shown} fold=${() => this.setState({ folded: !folded })}
        show=${(/** @type {string} */ name) => this.setState({ shown: shown === name ? "" : name })}
        stop=${() => this.stop()} again=${() => this.again()} close=${() => this.setState({ run: null })}/>`}`;
  }
}

/** @param {number} total @param {number} bytesTotal @returns {any} */
function blank(total, bytesTotal) {
  return { done: 0, total, bytes: 0, bytesTotal, counts: Object.fromEntries(COUNTED.map((name) => [name, 0])), files: new Map(), queue: [], ended: false, stop: new AbortController() };
}
/** Progress, and in the end a report that folds by outcome. @param {any} it */
function Card({ run, folded, shown, fold, show, stop, again, close }) {
  const part = run.bytesTotal ? run.bytes / run.bytesTotal : run.total ? run.done / run.total : 0;
  const title = run.ended ? t("add.ended", { n: run.counts.added }) : t("add.reading", { n: run.done, total: run.total });
  return html`<section class="card" aria-label=${t("add.progress")}>
    <header><h2>${title}</h2>
      <${IconButton} icon=${folded ? "up" : "more"} label=${t(folded ? "unfold" : "fold")} onClick=${fold}/>
      ${run.ended && html`<${IconButton} icon="close" label=${t("close")} onClick=${close}/>`}</header>
    ${!run.ended && html`<progress max="1" value=${part || undefined} aria-label=${t("add.progress")}/>
      <p class="dim">${run.counts.present > 0 ? t("add.present", { n: run.counts.present }) : run.bytesTotal ? t("add.bytes", { done: size(run.bytes), total: size(run.bytesTotal) }) : t("add.leave")}</p>`}
    ${run.fault && html`<p class="dim">${clean(run.fault.message)}</p>`}
    ${!folded && run.ended && html`<ul class="outcomes">${OUTCOMES.filter((name) => run.counts[name] > 0).map((name) => html`<li key=${name}>
      <button type="button" aria-expanded=${String(shown === name)} onClick=${() => show(name)}><span class=${`mark ${name}`}/>${t(`outcome.${name}`)}<strong>${run.counts[name]}</strong></button>
      ${shown === name && html`<${Files} files=${[...run.files.values()].filter((one) => one.outcome === name)}/>`}</li>`)}</ul>`}
    ${!folded && html`<footer>
      ${!run.ended && !run.elsewhere && html`<button type="button" class="quiet" onClick=${stop}>${t("add.stop")}</button>`}
      ${run.ended && run.counts.failed > 0 && !run.node && html`<button type="button" class="quiet" onClick=${again}>${t("again")}</button>`}
      ${run.ended && run.files.size > 0 && html`<button type="button" class="quiet" onClick=${() => save(run)}>${t("add.save")}</button>`}
    </footer>`}
  </section>`;
}

/** @param {{files: any[]}} it */
const Files = ({ files }) => html`<ul class="files">${files.slice(0, 200).map((one) => html`<li key=${one.path}><span>${clean(one.path, 200)}</span>
  ${one.reason && html`<small>${clean(has(`reason.${one.reason}`) ? t(`reason.${one.reason}`) : one.reason, 200)}</small>`}</li>`)}
  ${files.length > 200 && html`<li class="dim">${t("add.more", { n: files.length - 200 })}</li>`}</ul>`;

/** Saves the report as a file. @param {any} run */
function save(run) {
  const lines = [...run.files.values()].map((one) => `${one.outcome}\t${clean(one.path, 2000)}\t${clean(one.reason || "", 500)}`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${lines.join("\n")}\n`], { type: "text/plain" }));
  link.download = "heirloom-report.txt";
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** The ways to add. */
class Choices extends Component {
  state = { albums: [], album: this.props.album || "" };
  files = createRef();
  folder = createRef();
  componentDidMount() { rows("album", { do: "list" }, "album").then((albums) => this.setState({ albums: albums.filter((one) => one.role !== "viewer" && one.use !== "library") })).catch(() => {}); }
  render() {
    const { albums, album } = /** @type {any} */ (this.state);
    const { take, close } = this.props;
    const pictures = home.state && home.state.pictures;
    const picked = (/** @type {any} */ e) => take(listed(e.target.files), album || undefined);
    return html`<p>${t("add.text")}</p>
      <label class="field"><span>${t("add.into")}</span><select value=${album} onChange=${(/** @type {any} */ e) => this.setState({ album: e.target.value })}>
        <option value="">${t("add.library")}</option>${albums.map((/** @type {any} */ one) => html`<option key=${one.id} value=${one.id}>${clean(one.name, 80)}</option>`)}</select></label>
      <div class="ways">
        <button type="button" class="way" onClick=${() => this.files.current.click()}>${icon("photos")}<strong>${t("add.files")}</strong><small>${t("add.files.text")}</small></button>
        <button type="button" class="way wide-only" onClick=${() => this.folder.current.click()}>${icon("folder")}<strong>${t("add.folder")}</strong><small>${t("add.folder.text")}</small></button>
        ${pictures && html`<button type="button" class="way" onClick=${() => { close(); adding.folder(pictures.path); }}>${icon("laptop")}<strong>${t("add.pictures", { n: pictures.count })}</strong><small>${clean(pictures.path, 120)}</small></button>`}
      </div>
      <p class="dim">${t("add.hint")}</p>
      <input class="unseen" type="file" ref=${this.files} multiple accept="image/*,video/*,.heic,.heif,.dng,.cr2,.cr3,.nef,.arw,.raf,.zip,.json,.xmp" tabindex="-1" aria-hidden="true" onChange=${picked}/>
      <input class="unseen" type="file" ref=${this.folder} webkitdirectory multiple tabindex="-1" aria-hidden="true" onChange=${picked}/>`;
  }
}
