// Adding photos: dropped, picked, or a folder; the node does the work, the card says how far it is.
import { Component, html, icon, layer, Dialog, IconButton, say, noticeFault, faultText, createRef } from "./ui.js";
import { t, clean, size } from "./text.js";
import { get, post, send, stream, rows } from "./api.js";
import { home, turnedAway } from "./home.js";
import { OUTCOMES, Places, Report, saveReport } from "./report.js";

/** Files that travel at once. */
const AT_ONCE = 3;
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
  /** What is under way and what ended last, oldest first; each has a card of its own. */
  state = { runs: /** @type {any[]} */ ([]), over: false };
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
    // What the browser carries is lost with the page; what the node does is not.
    window.addEventListener("beforeunload", (e) => { if (this.runs().some((one) => !one.ended && !one.node)) e.preventDefault(); });
    this.catchUp();
    if (adding.waits) this.importPath(adding.waits);
    adding.waits = "";
  }
  componentWillUnmount() { adding.card = null; if (this.forget) this.forget(); }

  /** @returns {any[]} */
  runs() { return this.state.runs; }
  /** A card for what begins; what ended before makes room for it. @param {any} run */
  begin(run) { this.setState({ runs: [...this.runs().filter((one) => !one.ended), run] }); }
  /** @param {any} run */
  drop(run) { this.setState({ runs: this.runs().filter((one) => one !== run) }); }

  /** What the node was doing when this page was opened. */
  async catchUp() {
    try {
      const told = await get("/api/v1/imports");
      for (const one of told.batches) {
        if (one.done || !one.waiting || one.act === "export" || this.runs().some((run) => run.batch === one.batch)) continue;
        this.begin({ ...blank(0, 0), batch: one.batch, act: one.act, node: true, elsewhere: true });
        this.heard(one);
      }
    } catch { /* a node without imports */ }
  }
  /** @param {any} told */
  heard(told) {
    const run = this.runs().find((one) => one.elsewhere && one.batch === told.batch);
    if (!run) return;
    // What was sent is imported to its end, whether or not anybody looks.
    run.counts = Object.fromEntries(COUNTED.map((name) => [name, name === "waiting" ? 0 : told[name] || 0]));
    run.done = told.received - told.waiting;
    run.total = told.received;
    run.ended = told.done || told.waiting === 0;
    run.elsewhere = !run.ended;
    run.albums = told.albums;
    if (told.error) run.fault = { id: told.error_id, message: told.error };
    this.setState({});
  }

  /** @param {string} [album] */
  async ask(album) {
    await layer((done) => html`<${Dialog} title=${t("add")} onClose=${done}>${(/** @type {any} */ close) => html`
      <${Choices} album=${album} close=${close} take=${(/** @type {any} */ files, /** @type {any} */ into) => { close(); this.take(files, into); }}/>`}<//>`);
  }

  /** @param {{file: File, path: string, album?: string}[]} files @param {string} [album] of those that name none */
  async take(files, album) {
    if (!files.length) return;
    const all = files.map((one) => ({ album, ...one }));
    const bytes = all.reduce((sum, one) => sum + one.file.size, 0);
    // Only to what this page still carries can more be given.
    const open = this.runs().find((one) => !one.node && !one.closing);
    if (open) { open.queue.push(...all); open.total += all.length; open.bytesTotal += bytes; this.setState({}); return; }
    const run = { ...blank(all.length, bytes), queue: all, batch: batchName() };
    this.begin(run);
    await Promise.all(Array.from({ length: AT_ONCE }, () => this.carry(run)));
    if (run.stop.signal.aborted) return;
    run.closing = true;
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
    this.setState({});
    say(t("add.ended", { n: run.counts.added }));
    home.changed();
  }

  /** @param {any} run */
  async carry(run) {
    while (run.queue.length && !run.stop.signal.aborted) {
      const one = run.queue.shift();
      const { file, path, album } = one;
      let told = 0;
      const progress = (/** @type {number} */ sent) => { run.bytes += sent - told; told = sent; this.soon(); };
      const query = new URLSearchParams({ batch: run.batch, name: file.name, path });
      if (album) query.set("album", album);
      try {
        this.settle(run, path, await send(`/api/v1/upload?${query}`, file, progress, run.stop.signal), one);
      } catch (fault) {
        if (run.stop.signal.aborted) return;
        this.settle(run, path, { outcome: "failed", reason: faultText(fault), id: /** @type {any} */ (fault).id }, one);
      }
      run.bytes += file.size - told;
      run.done += 1;
      this.soon();
    }
  }
  /** @param {any} run @param {string} path @param {any} line @param {{file: File, album?: string}} [sent] */
  settle(run, path, line, sent) {
    const before = run.files.get(path);
    if (before) run.counts[before.outcome] -= 1;
    const outcome = COUNTED.includes(line.outcome) ? line.outcome : "failed";
    run.files.set(path, { path, outcome, reason: line.reason, asset: line.asset, sent: sent || (before && before.sent), id: line.id });
    run.counts[outcome] += 1;
  }
  soon() { if (!this.drawn) this.drawn = requestAnimationFrame(() => { this.drawn = 0; this.setState({}); }); }

  /** @param {string} path */
  async importPath(path) {
    const run = { ...blank(0, 0), node: true, act: "import", batch: batchName() };
    this.begin(run);
    try {
      // By its name it goes on without this page, and is found again.
      const sum = await stream(`/api/v1/act/import?batch=${run.batch}`, { paths: [path] }, { line: (line) => {
        if (line.type === "file") this.settle(run, line.path, line);
        if (line.type === "progress") { run.done = line.done; run.total = line.total; run.bytes = line.bytes; run.bytesTotal = line.bytes_total; }
        this.soon();
      } });
      for (const name of OUTCOMES) run.counts[name] = sum[name];
      run.albums = sum.albums;
    } catch (fault) { run.fault = fault; }
    run.ended = true;
    this.setState({});
    home.changed();
  }
  /** @param {any} run */
  stop(run) {
    // What the node does ends with the file that it is at, and says what was added.
    if (run.node) { post(`/api/v1/imports/stop?batch=${run.batch}`).catch(noticeFault); return; }
    run.stop.abort();
    this.drop(run);
    home.changed();
  }
  /** @param {any} run */
  again(run) {
    const failed = [...run.files.values()].filter((one) => one.outcome === "failed" && one.sent);
    this.take(failed.map(({ sent, path }) => ({ ...sent, path })));
  }

  render() {
    return html`${this.state.over && html`<div class="dropping">${icon("plus")}<p>${t("add.drop")}</p></div>`}
      ${this.runs().length > 0 && html`<section class="doing" aria-label=${t("add.progress")}>${this.runs().map((run) => html`<${Card} key=${run.key} run=${run}
        stop=${() => this.stop(run)} again=${() => this.again(run)} close=${() => this.drop(run)}/>`)}</section>`}`;
  }
}

/** A name for files that are added together. */
export const batchName = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

let begun = 0;
/** @param {number} total @param {number} bytesTotal @returns {any} */
function blank(total, bytesTotal) {
  begun += 1;
  return { key: begun, done: 0, total, bytes: 0, bytesTotal, counts: Object.fromEntries(COUNTED.map((name) => [name, 0])), files: new Map(), queue: [], ended: false, stop: new AbortController() };
}
/** Progress, and in the end a report that folds by outcome. */
class Card extends Component {
  state = { folded: false };
  render() {
    const { run, stop, again, close } = this.props;
    const { folded } = this.state;
    const fold = () => this.setState({ folded: !folded });
    const part = run.bytesTotal ? run.bytes / run.bytesTotal : run.total ? run.done / run.total : 0;
    const title = run.ended ? t("add.ended", { n: run.counts.added }) : t("add.reading", { n: run.done, total: run.total });
    return html`<div class="card">
      <header><h2>${title}</h2>
        <${IconButton} icon=${folded ? "up" : "more"} label=${t(folded ? "unfold" : "fold")} onClick=${fold}/>
        ${run.ended && html`<${IconButton} icon="close" label=${t("close")} onClick=${close}/>`}</header>
      ${!run.ended && html`<progress max="1" value=${part || undefined} aria-label=${t("add.progress")}/>
        <p class="dim">${run.counts.present > 0 ? t("add.present", { n: run.counts.present }) : run.bytesTotal ? t("add.bytes", { done: size(run.bytes), total: size(run.bytesTotal) }) : t("add.leave")}</p>`}
      ${run.fault && html`<p class="dim">${faultText(run.fault)}</p>`}
      ${!folded && run.ended && html`<${Places} albums=${run.albums || []}/><${Report} run=${run}/>`}
      ${!folded && html`<footer>
        ${!run.ended && (!run.node || run.act) && html`<button type="button" class="quiet" onClick=${stop}>${t("add.stop")}</button>`}
        ${run.ended && run.counts.failed > 0 && !run.node && html`<button type="button" class="quiet" onClick=${again}>${t("again")}</button>`}
        ${run.ended && run.files.size > 0 && html`<button type="button" class="quiet" onClick=${() => saveReport(run)}>${t("add.save")}</button>`}
      </footer>`}
    </div>`;
  }
}

/** The ways to add. */
class Choices extends Component {
  state = { albums: [], album: this.props.album || "", shared: true, pictures: null };
  files = createRef();
  folder = createRef();
  componentDidMount() {
    // Counting what lies in the folder of pictures takes its time, so it is asked for here alone.
    get("/api/v1/state?pictures=1").then((told) => this.setState({ pictures: told.pictures })).catch(() => {});
    rows("album", { do: "list" }, "album").then((all) => this.listed(all)).catch(() => {});
  }
  /** @param {any[]} all */
  listed(all) {
    const own = all.find((one) => one.use === "library" && one.name === "Library");
    // That nobody else sees it is said where it is known.
    this.setState({ albums: all.filter((one) => one.role !== "viewer" && one.use !== "library"), shared: !own || own.people.length > 1 });
  }
  render() {
    const { albums, album, shared, pictures } = /** @type {any} */ (this.state);
    const { take, close } = this.props;
    const picked = (/** @type {any} */ e) => take(listed(e.target.files), album || undefined);
    const away = turnedAway(home.status);
    return html`${away ? html`<p class="alarm" role="note">${icon("warn")}<span>${t("add.out")}</span></p>` : html`<p>${t("add.text")}</p>`}
      <label class="field"><span>${t("add.into")}</span><select value=${album} onChange=${(/** @type {any} */ e) => this.setState({ album: e.target.value })}>
        <option value="">${t(shared ? "album.library" : "add.library")}</option>${albums.map((/** @type {any} */ one) => html`<option key=${one.id} value=${one.id}>${clean(one.name, 80)}</option>`)}</select></label>
      <div class="ways">
        <button type="button" class="way" onClick=${() => this.files.current.click()}>${icon("photos")}<strong>${t("add.files")}</strong><small>${t("add.files.text")}</small></button>
        <button type="button" class="way wide-only" onClick=${() => this.folder.current.click()}>${icon("folder")}<strong>${t("add.folder")}</strong><small>${t("add.folder.text")}</small></button>
        ${pictures && html`<button type="button" class="way" onClick=${() => { close(); adding.folder(pictures.path); }}>${icon("laptop")}<strong>${t("add.pictures", { n: pictures.count })}</strong><small>${clean(pictures.path, 120)}</small></button>`}
      </div>
      <p class="dim">${t("add.hint")}</p>
      <details class="own"><summary>${t("add.path")}</summary><form class="inline" onSubmit=${(/** @type {any} */ e) => { e.preventDefault(); const path = e.target.elements.path.value.trim(); if (path) { close(); adding.folder(path); } }}>
        <label class="field"><input name="path" aria-label=${t("add.path")} maxlength="4096" required autocomplete="off" autocapitalize="none" spellcheck=${false}/></label><button class="main">${t("add.short")}</button></form></details>
      <input class="unseen" type="file" ref=${this.files} multiple accept="image/*,video/*,.heic,.heif,.dng,.cr2,.cr3,.nef,.arw,.raf" tabindex="-1" aria-hidden="true" onChange=${picked}/>
      <input class="unseen" type="file" ref=${this.folder} webkitdirectory multiple tabindex="-1" aria-hidden="true" onChange=${picked}/>`;
  }
}
