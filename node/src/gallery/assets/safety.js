// Is everything safe? The answer first, then what is not and why, then the devices.
import { Component, html, icon, Loading, IconButton, Dialog, Link, confirm, layer, notice, noticeFault, prompt } from "./ui.js";
import { t, clean, ago, size, has, instant } from "./text.js";
import { act, rows } from "./api.js";
import { home, shield } from "./home.js";
import { invite } from "./invite.js";

/** What needs a person, in sentences of the table, with what to do next. @param {any} status @returns {{text: string, next?: {text: string, go: () => void}}[]} */
function needs(status) {
  const all = [];
  if (!status.peers.length) all.push({ text: t("safety.alone"), next: { text: t("pair"), go: () => invite({ device: true }) } });
  else if (status.only_here > 0) all.push({ text: t("safety.here", { n: status.only_here }) });
  for (const peer of status.peers) if (peer.full) all.push({ text: t("safety.full", { name: clean(peer.name, 60) }) });
  if (status.moving.waiting > 0) all.push({ text: t("safety.waiting", { n: status.moving.waiting }) });
  // What the node says beyond that is shown as it says it.
  const told = [/^This is the only device/, /are on this device alone/, /^The disk of .* is full/, /have not arrived yet/];
  for (const text of status.problems) {
    if (/recovery words/.test(text)) all.push({ text: t("recovery.none"), next: { text: t("nav.settings"), go: () => { location.assign("/settings"); } } });
    else if (!told.some((one) => one.test(text))) all.push({ text: clean(text, 400) });
  }
  return all;
}

/** A device's state in words. @param {any} device @param {any} status */
function standing(device, status) {
  if (device.removed) return { tone: "idle", text: t("device.removed") };
  if (device.full) return { tone: "bad", text: t("device.full") };
  if (device.this) return status && status.moving.receiving > 0 ? { tone: "good", text: t("device.receiving", { n: status.moving.waiting }) } : { tone: "good", text: t("device.this") };
  if (device.connected) return { tone: "good", text: t(`device.connected.${device.path === "lan" ? "lan" : "direct"}`) };
  const late = device.last_seen && Date.now() - new Date(device.last_seen).getTime() > 7 * 86400e3;
  return { tone: late ? "warn" : "idle", text: device.last_seen ? t("device.seen", { when: ago(device.last_seen) }) : t("device.never") };
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
      ${device.policy === "archive" ? entry(close, "download", "device.cache", "cache") : entry(close, "box", "device.archive", "archive")}
      ${!device.this && entry(close, "laptop", "device.retire", "retire")}
      ${!device.this && entry(close, "warn", "device.lost", "lost")}</ul>`}<//>`);
    try { if (deed) await this.deed(device, name, deed); } catch (fault) { noticeFault(fault); }
    this.again();
    home.look();
  }
  /** @param {any} device @param {string} name @param {string} deed */
  async deed(device, name, deed) {
    const id = device.id;
    if (deed === "rename") {
      const said = await prompt({ title: t("rename"), label: t("name"), value: device.name, yes: t("save") });
      if (said) await act("device", { do: "rename", device: id, name: said });
    } else if (deed === "cache" || deed === "archive") {
      await act("device", { do: "policy", device: id, policy: deed });
    } else if (await confirm({ title: t(`device.${deed}.ask`, { name }), text: t(`device.${deed}.warn`, { name }), yes: t("device.remove"), danger: true })) {
      const done = await act("device", { do: "remove", device: id, lost: deed === "lost" });
      notice(done.lost ? t("device.lost.done", { name, n: done.assets }) : t("device.retired", { name }));
    }
  }
  render() {
    const status = home.status;
    if (!status) return html`<p class="waiting" aria-busy="true">${t("waiting")}</p>`;
    const { tone } = shield(status);
    const { checks, found } = /** @type {any} */ (this.state);
    const last = localStorage.getItem("checked");
    const todo = needs(status);
    return html`<div class="page"><section class=${`answer ${tone}`}>
        ${icon(tone === "good" ? "safe" : tone === "idle" ? "shield" : "warn", "large")}
        <div><h1>${status.assets ? t("safety.answer", { safe: status.safe, n: status.assets, copies: status.copies_wanted }) : t("safety.empty")}</h1>
        <p class="dim">${t("safety.kept", { size: size(status.bytes), n: status.peers.length + 1 })}</p></div></section>
      ${todo.length > 0 && html`<section><h2>${t("safety.todo")}</h2><ul class="todo">${todo.map((one, nth) => html`<li key=${nth}>${icon("warn")}<span class="grow">${one.text}</span>
        ${one.next && html`<button type="button" class="quiet" onClick=${one.next.go}>${one.next.text}</button>`}</li>`)}</ul>
        ${status.only_here > 0 && html`<p><${Link} href="/search?only_here=1" class="quiet">${t("safety.show")}<//></p>`}</section>`}
      <section><header class="page-head"><h2>${t("safety.devices")}</h2><span class="space"/>
        <button type="button" class="main" onClick=${() => invite({ device: true }).then(() => this.again())}>${icon("plus")}${t("pair")}</button></header>
        <${Loading} stamp=${this.state.stamp} from=${(/** @type {any} */ stop) => rows("device", { do: "list" }, "device", stop)}>${(/** @type {any[]} */ devices) => html`
          <ul class="cards">${devices.map((one) => this.device(one, status))}</ul>`}<//></section>
      <section><h2>${t("check")}</h2><div class="panel row"><p class="grow">${checks || (last ? t("check.last", { at: instant(last) }) : t("check.text"))}</p>
        <button type="button" class="quiet" disabled=${checks === t("check.running")} onClick=${() => this.check()}>${t("check.now")}</button></div>
        ${found && found.length > 0 && html`<ul class="todo">${found.map((/** @type {any} */ one, /** @type {number} */ nth) => html`<li key=${nth}>${icon("warn")}<span>${clean(one.problem, 200)} <code>${clean(one.id, 80)}</code></span></li>`)}</ul>`}
      </section></div>`;
  }
  /** @param {any} device @param {any} status */
  device(device, status) {
    const { tone, text } = standing(device, status);
    return html`<li key=${device.id} class=${`panel device ${device.removed ? "gone" : ""}`}><div class="panel-head">
        <span class="device-mark">${icon(device.kind === "keeper" ? "box" : "laptop")}</span>
        <div class="grow"><h3>${clean(device.name, 80)}</h3><p class="dim">${device.kind === "keeper" ? t("device.keeper") : t("device.of", { name: clean(device.person_name || "?", 60) })}</p></div>
        ${!device.removed && html`<${IconButton} icon="more" label=${t("more.of", { name: clean(device.name, 60) })} onClick=${() => this.menu(device)}/>`}</div>
      <p class=${`standing ${tone}`}><span class="mark"/>${text}</p>
      ${!device.removed && html`<p class="dim">${[t(`policy.${device.policy}`), device.free ? t("device.free", { size: size(device.free) }) : ""].filter(Boolean).join(" \u00b7 ")}</p>`}</li>`;
  }
}
