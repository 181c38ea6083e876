// Is everything safe? The answer first, then what is not and why, then the devices.
import { Component, html, icon, go, Loading, IconButton, Dialog, Link, Trouble, confirm, layer, notice, noticeFault, prompt } from "./ui.js";
import { t, albumName, clean, ago, size, has, instant } from "./text.js";
import { act, rows } from "./api.js";
import { home, isUnprinted, shield, turnedAway } from "./home.js";
import { invite } from "./invite.js";
import { checkWords } from "./recovery.js";
import { end, removeFromFamily } from "./deeds.js";

/** What needs a person, in sentences of the table where it has one, with what to do next.
 *  @param {any} status @returns {{text: string, next?: {text: string, go: () => void}}[]} */
function needs(status) {
  /** Ends the notice of an album that this person has no more. @param {any} values */
  const read = (values) => ({ text: t("unshared.read"), go: () => { end("album", { do: "leave", album: values.album_id }, { title: t("album.leave"), yes: t("album.leave") }).catch(noticeFault).then(() => home.look()); } });
  /** @type {Record<string, (values: any) => {text: string, go: () => void}>} */
  const next = {
    alone: () => ({ text: t("pair"), go: () => { invite({ device: true }); } }),
    "no-words": () => ({ text: t("nav.settings"), go: () => go("/settings") }),
    deleted: (values) => ({ text: t("undo.deleted"), go: () => { undo(values); } }),
    // What a phone may not do is not offered to it.
    ...(home.state.limited ? {} : { unshared: read, "album-deleted": read }),
  };
  const unprinted = isUnprinted() && !status.problem_details.some((/** @type {any} */ one) => one.id === "no-words");
  const words = { text: t("words.unprinted"), next: { text: t("recovery.check"), go: () => { checkWords().then(() => home.look()); } } };
  return [...(unprinted ? [words] : []), ...status.problem_details.map((/** @type {any} */ one) => {
    const values = Object.fromEntries(Object.entries(one.values).map(([name, value]) => [name, told(name, value)]));
    const key = `problem.${one.id}${one.values.ask ? ".ask" : one.values.holders ? ".at" : ""}`;
    return { text: has(key) ? t(key, values) : clean(one.text, 400), next: one.values.own ? words.next : next[one.id] && next[one.id](one.values) };
  })];
}
/** @param {string} name @param {any} value */
function told(name, value) {
  if (typeof value !== "string") return name === "bytes" ? size(value) : value;
  return name === "since" || name === "at" ? instant(value) : clean(value, 60);
}

/** What it costs that a device leaves, in sentences. @param {string} id @param {string} name */
function costs(id, name) {
  const peer = home.status && home.status.peers.find((/** @type {any} */ one) => one.device === id);
  return ["one", "none"].filter((how) => peer && peer.without[how] > 0).map((how) => t(`device.retire.${how}`, { n: peer.without[how], name }));
}

/** Takes back what a device deleted, once a person has seen how much that is. @param {{device: string, name: string, since: string}} it */
async function undo({ device, name, since }) {
  try {
    const what = await act("undo", { device, since, dry_run: true });
    const n = what.restored + what.added_again;
    if (!await confirm({ title: t("undo.ask", { n }), text: t("undo.text", { name: clean(name, 60), since: instant(since) }), yes: t("undo.deleted") })) return;
    const done = await act("undo", { device, since });
    notice(t("undo.done", { n: done.restored + done.added_again }));
  } catch (fault) { noticeFault(fault); }
  home.changed();
  home.look();
}

/** A device's state in words. @param {any} device @param {any} status */
function standing(device, status) {
  if (device.removed) return { tone: "idle", text: t("device.removed") };
  if (device.full) return { tone: "bad", text: t("device.full") };
  if (device.this) return status && status.moving.receiving > 0 ? { tone: "good", text: t("device.receiving", { n: status.moving.waiting }) } : { tone: "good", text: t("device.this") };
  if (device.connected) {
    const way = t(`device.connected.${device.path === "lan" || device.path === "relay" ? device.path : "direct"}`);
    const behind = status && status.problem_details.find((/** @type {any} */ one) => one.id === "behind" && one.values.name === device.name);
    return behind ? { tone: "warn", text: `${way}. ${t("device.behind", { n: behind.values.n })}` } : { tone: "good", text: way };
  }
  const late = device.last_seen && Date.now() - new Date(device.last_seen).getTime() > 7 * 86400e3;
  return { tone: late ? "warn" : "idle", text: device.last_seen ? t("device.seen", { when: ago(device.last_seen) }) : t("device.never") };
}

/** Rules for how many copies: the one for all, then those of albums. @param {AbortSignal} stop */
async function rules(stop) {
  const [kept, albums] = await Promise.all([rows("keep", {}, "keep", stop), rows("album", { do: "list" }, "album", stop)]);
  const all = albums.map((album) => {
    const rule = kept.find((one) => one.ids.includes(album.id)) || { copies_wanted: 0, assets: 0, safe: 0 };
    return { id: album.id, name: albumName(album), may: album.role === "manager", copies: rule.copies_wanted, assets: rule.assets, safe: rule.safe };
  });
  return [{ id: "", may: true, copies: home.status.copies_wanted }, ...all];
}

/** How much a device may keep that does not keep everything. @param {number|null} now bytes @returns {Promise<number|undefined>} */
async function askLimit(now) {
  /** @type {number|undefined} */
  let limit;
  await layer((done) => html`<${Dialog} title=${t("device.cache")} onClose=${done}>${(/** @type {any} */ close) => html`<p>${t("device.cache.how")}</p>
    <ul class="choices">${[1, 5, 20, 50, 100, 500].map((gb) => html`<li key=${gb}><button type="button" aria-current=${now === gb * 1e9 ? "true" : undefined} onClick=${() => { limit = gb * 1e9; close(); }}>
      ${icon("box")}<span>${size(gb * 1e9)}</span></button></li>`)}</ul>`}<//>`);
  return limit;
}

/** Originals leave this device: first what would go, then, if a person wants it, they go. */
class Offload extends Component {
  state = { older: "", would: null, done: null, busy: false, fault: null, reason: "" };
  componentDidMount() { this.ask(true); }
  componentWillUnmount() { this.stop.abort(); }
  stop = new AbortController();
  /** @param {boolean} dry */
  async ask(dry) {
    const { older } = this.state;
    this.setState({ busy: true, fault: null, reason: "" });
    let reason = "";
    try {
      const sum = await act("offload", { dry_run: dry, ...(older ? { older } : {}) }, { signal: this.stop.signal, line: (line) => { if (line.type === "original" && line.reason) reason = line.reason; } });
      this.setState(dry ? { would: sum, busy: false, reason } : { done: sum, busy: false, reason });
      if (!dry) { home.changed(); home.look(); }
    } catch (fault) { if (!this.stop.signal.aborted) this.setState({ fault, busy: false }); }
  }
  render() {
    const { older, would, done, busy, fault, reason } = /** @type {any} */ (this.state);
    const year = new Date().getFullYear();
    const sum = done || would;
    return html`<p>${t("offload.how")}</p>
      <label class="field"><span>${t("offload.which")}</span><select value=${older} disabled=${busy || Boolean(done)} onChange=${(/** @type {any} */ e) => this.setState({ older: e.target.value, would: null }, () => this.ask(true))}>
        <option value="">${t("offload.any")}</option>${[0, 1, 2, 5, 10].map((by) => html`<option key=${by} value=${String(year - by)}>${t("offload.older", { year: String(year - by) })}</option>`)}</select></label>
      ${busy && html`<p class="waiting-line" role="status">${icon("live", "pulse")}${t("waiting")}</p>`}
      ${sum && !busy && html`<p role="status"><strong>${t(done ? "offload.done" : "offload.would", { n: sum.dropped, size: size(sum.bytes) })}</strong> ${sum.kept > 0 ? t("offload.kept", { n: sum.kept }) : ""}</p>
        ${reason && html`<p class="dim">${clean(reason, 300)}</p>`}`}
      ${fault && html`<${Trouble} fault=${fault}/>`}
      <footer><button type="button" class="quiet" onClick=${this.props.close}>${t(done ? "done" : "cancel")}</button>
        ${!done && html`<button type="button" class="main" disabled=${busy || !would || !would.dropped} onClick=${() => this.ask(false)}>${t("offload.now")}</button>`}</footer>`;
  }
}

export class Safety extends Component {
  state = { stamp: 0, checks: "", found: null };
  componentDidMount() {
    this.forget = [home.on("changed", () => this.again()), home.on("peers", () => this.again()), home.on("status", () => this.setState({}))];
    home.look();
  }
  componentWillUnmount() { for (const forget of this.forget || []) forget(); }
  again() { this.setState({ stamp: this.state.stamp + 1 }); }

  /** Reads every byte that is kept here and compares it with its hash. */
  async check() {
    this.setState({ checks: t("check.running"), found: null });
    /** @type {any[]} */
    const found = [];
    try {
      const done = await act("verify", { read_data: true }, { line: (line) => {
        if (line.type === "damage") found.push(line);
        if (line.type === "progress" && line.bytes_total) this.setState({ checks: t("check.progress", { done: size(line.bytes), total: size(line.bytes_total) }) });
      } });
      if (!done.damaged) localStorage.setItem("checked", new Date().toISOString());
      this.setState({ checks: done.damaged ? t("check.damaged", { n: done.damaged }) : t("check.clean", { n: done.checked }), found });
    } catch (fault) { noticeFault(fault); this.setState({ checks: "" }); }
  }
  /** @param {any} device */
  async menu(device) {
    const name = clean(device.name, 60);
    let deed = "";
    const entry = (/** @type {any} */ close, /** @type {any} */ shape, /** @type {string} */ key, /** @type {string} */ what) => html`
      <li><button type="button" onClick=${() => { deed = what; close(); }}>${icon(shape)}<span>${t(key)}<small>${has(`${key}.text`) ? t(`${key}.text`) : ""}</small></span></button></li>`;
    await layer((done) => html`<${Dialog} title=${name} onClose=${done}>${(/** @type {any} */ close) => html`<ul class="choices tall">
      ${entry(close, "edit", "rename", "rename")}
      ${device.policy !== "archive" && entry(close, "box", "device.archive", "archive")}
      ${device.kind !== "keeper" && entry(close, "download", "device.cache", "cache")}
      ${device.this && device.kind !== "keeper" && entry(close, "laptop", "offload", "offload")}
      ${!device.this && entry(close, "laptop", "device.retire", "retire")}
      ${!device.this && entry(close, "warn", "device.lost", "lost")}</ul>`}<//>`);
    try { if (deed) await this.deed(device, name, deed); } catch (fault) { noticeFault(fault); }
    this.again();
    home.look();
  }
  /** @param {string} album id, or nothing for all that have no rule of their own @param {number} copies */
  async keep(album, copies) {
    try { await act("keep", { do: "set", copies, ...(album ? { album } : {}) }); } catch (fault) { noticeFault(fault); }
    this.again();
    home.look();
  }
  /** @param {any} device @param {string} name @param {string} deed */
  async deed(device, name, deed) {
    const id = device.id;
    if (deed === "rename") {
      const said = await prompt({ title: t("rename"), label: t("name"), value: device.name, yes: t("save") });
      if (said) await act("device", { do: "rename", device: id, name: said });
    } else if (deed === "archive") {
      await act("device", { do: "policy", device: id, policy: deed });
    } else if (deed === "cache") {
      const limit = await askLimit(device.limit);
      if (limit) await act("device", { do: "policy", device: id, policy: deed, limit });
    } else if (deed === "offload") {
      await layer((done) => html`<${Dialog} title=${t("offload")} onClose=${done}>${(/** @type {any} */ close) => html`<${Offload} close=${close}/>`}<//>`);
    } else if (await confirm({ title: t(`device.${deed}.ask`, { name }), text: [t(`device.${deed}.warn`, { name }), ...costs(id, name)].join(" "), yes: t(deed === "retire" ? "device.retire" : "device.remove"), danger: true })) {
      const done = await removeFromFamily("device", { do: "remove", device: id, lost: deed === "lost" }, name);
      if (done) notice(done.lost ? t("device.lost.done", { name, n: done.assets }) : t("device.retired", { name }));
    }
  }
  render() {
    const status = home.status;
    if (!status) return html`<p class="waiting" aria-busy="true">${t("waiting")}</p>`;
    const { tone, key, values } = shield(status);
    const away = turnedAway(status);
    const { checks, found } = /** @type {any} */ (this.state);
    const todo = needs(status);
    return html`<div class="page"><section class=${`answer ${tone}`}>
        ${icon(tone === "good" ? "safe" : tone === "idle" ? "shield" : "warn", "large")}
        <div><h1>${away ? t(key, values) : status.assets ? t("safety.answer", { safe: status.safe, n: status.assets, copies: status.copies_wanted }) : t("safety.empty")}</h1>
        <p class="dim">${away ? t("safety.out", { size: size(status.bytes) }) : status.assets > 0 && t("safety.kept", { size: size(status.bytes), n: status.peers.length + 1 })}</p></div></section>
      ${todo.length > 0 && html`<section><h2>${t("safety.todo")}</h2><ul class="todo">${todo.map((one, nth) => html`<li key=${nth}>${icon("warn")}<span class="grow">${one.text}</span>
        ${one.next && html`<button type="button" class="quiet own" onClick=${one.next.go}>${one.next.text}</button>`}</li>`)}</ul>
        ${status.only_here > 0 && html`<p><${Link} href="/search?only_here=1" class="quiet">${t("safety.show")}<//></p>`}</section>`}
      <section><header class="page-head"><h2>${t("safety.devices")}</h2><span class="space"/>
        <button type="button" class="main own" onClick=${() => invite({ device: true }).then(() => this.again())}>${icon("plus")}${t("pair")}</button></header>
        <${Loading} stamp=${this.state.stamp} from=${(/** @type {any} */ stop) => rows("device", { do: "list" }, "device", stop)}>${(/** @type {any[]} */ devices) => html`
          <ul class="cards">${devices.map((one) => this.device(one, status))}</ul>`}<//>
        ${status.note_details.map((/** @type {any} */ one) => html`<p class="dim" key=${one.id}>${t(`problem.${one.id}`)}</p>`)}</section>
      ${!home.state.limited && this.more(checks, found, Boolean(away))}</div>`;
  }
  /** What a phone may not do. @param {string} checks @param {any[]|null} found @param {boolean} away out of the family, where no rule of it holds */
  more(checks, found, away) {
    const last = localStorage.getItem("checked");
    return html`${!away && html`<section><h2>${t("keep")}</h2><div class="panel"><p class="dim">${t("keep.text")}</p>
        <${Loading} stamp=${this.state.stamp} from=${rules}>${(/** @type {any[]} */ all) => all.map((one) => html`<div class="setting" key=${one.id}>
          <div class="grow"><h3>${one.id ? one.name : t("keep.all")}</h3><p class="dim">${one.id ? t("keep.safe", { safe: one.safe, n: one.assets }) : ""}</p></div>
          <div class="setting-do"><select aria-label=${one.id ? t("keep.of", { album: one.name }) : t("keep.all")} value=${String(one.copies)} disabled=${!one.may} onChange=${(/** @type {any} */ e) => this.keep(one.id, Number(e.target.value))}>
            ${[1, 2, 3, 4, 5].map((n) => html`<option key=${n} value=${n}>${t("keep.devices", { n })}</option>`)}</select></div></div>`)}<//></div></section>`}
      <section><h2>${t("check")}</h2><div class="panel row"><p class="grow">${checks || (last ? t("check.last", { at: instant(last) }) : t("check.text"))}</p>
        <button type="button" class="quiet" disabled=${checks === t("check.running")} onClick=${() => this.check()}>${t("check.now")}</button></div>
        ${found && found.length > 0 && html`<ul class="todo">${found.map((/** @type {any} */ one, /** @type {number} */ nth) => html`<li key=${nth}>${icon("warn")}<span>${clean(one.problem, 200)} <code>${clean(one.id, 80)}</code></span></li>`)}</ul>`}
      </section>`;
  }
  /** @param {any} device @param {any} status */
  device(device, status) {
    const { tone, text } = standing(device, status);
    return html`<li key=${device.id} class=${`panel device ${device.removed ? "gone" : ""}`}><div class="panel-head">
        <span class="device-mark">${icon(device.kind === "keeper" ? "box" : "laptop")}</span>
        <div class="grow"><h3>${clean(device.name, 80)}</h3><p class="dim">${device.kind === "keeper" ? t("device.keeper") : t("device.of", { name: clean(device.person_name || "?", 60) })}</p></div>
        ${!device.removed && html`<${IconButton} icon="more" cls="own" label=${t("more.of", { name: clean(device.name, 60) })} onClick=${() => this.menu(device)}/>`}</div>
      <p class=${`standing ${tone}`}><span class="mark"/>${text}</p>
      ${!device.removed && html`<p class="dim">${[t(`policy.${device.policy}`), device.limit ? t("policy.limit", { size: size(device.limit) }) : "", device.free ? t("device.free", { size: size(device.free) }) : ""].filter(Boolean).join(" \u00b7 ")}</p>`}</li>`;
  }
}
