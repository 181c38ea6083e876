// Settings: who we are, the language and the light, the network, the way back, the way out.
import { Component, html, icon, confirm, Dialog, layer, notice, noticeFault, prompt, Loading } from "./ui.js";
import { t, clean, size, instant, LANGUAGES, speak, shown } from "./text.js";
import { act, post, rows, stream } from "./api.js";
import { batchName } from "./add.js";
import { home } from "./home.js";
import { checkWords, replaceWords } from "./recovery.js";

/** What a path may have of characters. */
const PATH = 4096;

/** @param {{title: string, text?: any, children?: any}} it */
const Row = ({ title, text, children }) => html`<div class="setting"><div class="grow"><h3>${title}</h3>${text && html`<p class="dim">${text}</p>`}</div><div class="setting-do">${children}</div></div>`;

export class Settings extends Component {
  state = { stamp: 0, diagnosis: "" };
  again() { this.setState({ stamp: this.state.stamp + 1 }); }
  /** @param {string} language */
  async language(language) {
    localStorage.setItem("language", language);
    await speak(language);
    window.dispatchEvent(new Event("heirloom:language"));
  }
  /** @param {string} theme */
  theme(theme) {
    if (theme === "system") { localStorage.removeItem("theme"); delete document.documentElement.dataset.theme; }
    else { localStorage.setItem("theme", theme); document.documentElement.dataset.theme = theme; }
    this.again();
  }
  /** @param {"people"|"device"} what @param {string} id @param {string} now */
  async rename(what, id, now) {
    const name = await prompt({ title: t("rename"), label: t("name"), value: now, yes: t("save") });
    if (!name) return;
    try {
      await act(what, { do: "rename", [what === "people" ? "person" : "device"]: id, name });
      await home.load();
    } catch (fault) { noticeFault(fault); }
  }
  /** @param {string} key @param {any} value */
  async put(key, value) { await act("config", { do: "set", key, value: String(value) }); notice(t("settings.later")); }
  /** @param {string} key @param {any} value */
  async set(key, value) {
    try { await this.put(key, value); } catch (fault) { noticeFault(fault); }
    this.again();
  }
  /** @param {any} setting how fast photos may go, by the hour */
  async rate(setting) {
    await prompt({ title: t(`config.${setting.key}`), label: t(`config.${setting.key}`), value: [setting.value || ""].flat().join(", "), example: t("config.bandwidth.text"), yes: t("save"), free: true, send: (said) => this.put(setting.key, said) });
    this.again();
  }
  /** @param {any} how */
  async watch(how) {
    try { await act("watch", how); } catch (fault) { noticeFault(fault); }
    this.again();
  }
  async follow() {
    const { pictures } = home.state.folders || {};
    await prompt({ title: t("watch"), label: t("watch.folder"), text: t("watch.more"), value: pictures, yes: t("watch.add"), most: PATH, send: async (dir) => { await act("watch", { do: "add", dir }); } });
    this.again();
  }
  /** @param {any} folder one that is followed */
  async unfollow(folder) {
    if (await confirm({ title: t("watch.remove.ask", { name: clean(folder.dir, 200) }), text: t("watch.remove.text"), yes: t("watch.remove") })) await this.watch({ do: "remove", dir: folder.dir });
  }
  async export() {
    const send = (/** @type {string} */ dir) => new Promise((/** @type {(value: void) => void} */ begun, fail) => {
      // What goes wrong at once is said where the folder was typed, the rest when it happens.
      let runs = false;
      const soon = window.setTimeout(() => { runs = true; notice(t("export.running")); begun(); }, 1500);
      stream(`/api/v1/act/export?batch=${batchName()}`, { dir, layout: "album", sidecars: "both" }).then((done) => { begun(); notice(t("export.done", { n: done.written ?? done.exported ?? done.count ?? 0 })); }, (fault) => { if (runs) noticeFault(fault); else fail(fault); }).finally(() => window.clearTimeout(soon));
    });
    await prompt({ title: t("export"), label: t("export.folder"), text: t("export.text"), value: (home.state.folders || {}).export, yes: t("export.now"), most: PATH, send });
  }
  async phone() {
    await layer((done) => html`<${Dialog} title=${t("phone.title")} onClose=${done}><${Loading} from=${async () => (await post("/api/v1/phone")).json()}>${(/** @type {any} */ told) => {
      const picture = told.qr ? URL.createObjectURL(new Blob([told.qr], { type: "image/svg+xml" })) : "";
      return html`<p>${t("phone.text")}</p>${picture && html`<img class="qr" src=${picture} alt=${t("invite.qr")}/>`}
        <p>${t("phone.fingerprint")}</p><code class="fingerprint">${clean(told.fingerprint, 200)}</code>`;
    }}<//><//>`);
  }
  async diagnose() {
    /** @type {string[]} */
    const lines = [];
    try { await act("doctor", {}, { line: (line) => { if (line.type === "check") lines.push([line.note ? "--" : line.ok ? "ok" : "!!", line.name, line.message, line.remedy].filter(Boolean).join(": ")); } }); } catch (fault) { noticeFault(fault); }
    const text = [`heirloom ${home.state.version}`, navigator.userAgent, ...lines.map((line) => clean(line, 500))].join("\n");
    this.setState({ diagnosis: text });
    navigator.clipboard.writeText(text).then(() => notice(t("copied"))).catch(() => {});
  }
  /** @param {string} [id] of one session; without it, all of them end, this one too */
  async revoke(id) {
    if (!id && !await confirm({ title: t("sessions.all"), text: t("logout.text"), yes: t("sessions.all"), danger: true })) return;
    try { await act("sessions", { do: "revoke", ...(id ? { id } : {}) }); } catch (fault) { noticeFault(fault); }
    this.again();
  }
  async leave() {
    if (!await confirm({ title: t("logout.ask"), text: t("logout.text"), yes: t("logout") })) return;
    try { await post("/api/v1/logout"); } catch (fault) { noticeFault(fault); }
    location.assign("/photos");
  }
  render() {
    const state = home.state;
    const theme = localStorage.getItem("theme") || "system";
    return html`<div class="page narrow-page settings"><header class="page-head"><h1>${t("nav.settings")}</h1></header>
      <section><h2>${t("settings.you")}</h2><div class="panel">
        <${Row} title=${clean(state.person || "", 80)} text=${t("settings.family", { name: clean(state.family || "", 80) })}>
          ${!state.limited && html`<button type="button" class="quiet" onClick=${() => this.rename("people", state.person_id, state.person)}>${t("rename")}</button>`}<//>
        <${Row} title=${clean(state.device || "", 80)} text=${t("device.this")}>
          ${!state.limited && html`<button type="button" class="quiet" onClick=${() => this.rename("device", state.device_id, state.device)}>${t("rename")}</button>`}<//></div></section>
      <section><h2>${t("settings.look")}</h2><div class="panel">
        <${Row} title=${t("settings.language")}><select aria-label=${t("settings.language")} value=${shown()} onChange=${(/** @type {any} */ e) => this.language(e.target.value)}>
          ${Object.entries(LANGUAGES).map(([tag, name]) => html`<option key=${tag} value=${tag}>${name}</option>`)}</select><//>
        <${Row} title=${t("settings.theme")}><select aria-label=${t("settings.theme")} value=${theme} onChange=${(/** @type {any} */ e) => this.theme(e.target.value)}>
          ${["system", "light", "dark"].map((name) => html`<option key=${name} value=${name}>${t(`theme.${name}`)}</option>`)}</select><//></div></section>
      ${!state.limited && this.more(state)}
      <section><h2>${t("settings.about")}</h2><div class="panel">
        <${Row} title=${`Heirloom ${state.version || ""}`} text=${t("about.text")}/>
        <details><summary>${t("about.licences")}</summary><p class="dim">${t("about.licences.text")}</p>
          <ul><li><a href="/assets/vendor/preact.LICENSE">Preact</a> (MIT)</li><li><a href="/assets/vendor/htm.LICENSE">htm</a> (Apache-2.0)</li><li><a href="/assets/vendor/photoswipe.LICENSE">PhotoSwipe</a> (MIT)</li></ul></details>
        <${Row} title=${t("logout")} text=${t("logout.text")}><button type="button" class="quiet" onClick=${() => this.leave()}>${t("logout")}</button><//></div></section></div>`;
  }
  /** @param {any} state */
  more(state) {
    const status = home.status;
    return html`<section><h2>${t("settings.storage")}</h2><div class="panel">
        <${Row} title=${status ? size(status.bytes) : t("waiting")} text=${status ? t("photos.count", { n: status.assets }) : ""}/>
        <${Row} title=${t("export")} text=${t("export.never")}><button type="button" class="quiet" onClick=${() => this.export()}>${t("export.now")}</button><//></div></section>
      <section><h2>${t("watch.title")}</h2><div class="panel"><${Loading} stamp=${this.state.stamp} from=${() => rows("watch", { do: "list" }, "watch")}>${(/** @type {any[]} */ all) => all.map((one) => html`
        <${Row} key=${one.dir} title=${clean(one.dir, 200)} text=${!one.there ? t("watch.away") : one.left_out ? t("watch.full", { n: one.left_out }) : one.album ? t("watch.into", { name: clean(one.album, 80) }) : t("watch.nowhere")}>
          <button type="button" class="quiet" onClick=${() => this.unfollow(one)}>${t("watch.remove")}</button><//>`)}<//>
        <${Row} title=${t("watch")} text=${t("watch.text")}><button type="button" class="quiet" onClick=${() => this.follow()}>${icon("folder")}${t("watch.add")}</button><//></div></section>
      <section><h2>${t("settings.network")}</h2><div class="panel"><${Loading} stamp=${this.state.stamp} from=${() => rows("config", { do: "list" }, "setting")}>${(/** @type {any[]} */ all) => html`
        ${all.filter((one) => typeof one.value === "boolean").map((one) => html`<${Row} key=${one.key} title=${t(`config.${one.key}`)} text=${t(`config.${one.key}.text`)}>
          <label class="hit"><input type="checkbox" class="switch" role="switch" aria-label=${t(`config.${one.key}`)} checked=${one.value} onChange=${(/** @type {any} */ e) => this.set(one.key, e.target.checked)}/></label><//>`)}
        ${all.filter((one) => one.key.startsWith("bandwidth.")).map((one) => html`<${Row} key=${one.key} title=${t(`config.${one.key}`)} text=${one.value ? clean([one.value].flat().join(", "), 200) : t("config.bandwidth.free")}>
          <button type="button" class="quiet" onClick=${() => this.rate(one)}>${t("change")}</button><//>`)}`}<//>
        ${!state.phones && html`<${Row} title=${t("phone.title")} text=${html`${t("phone.off")} <code>heirloom serve --gallery 0.0.0.0:8443 --lan-gallery</code>`}/>`}
        ${state.phones && html`<${Row} title=${t("phone.title")} text=${t("phone.more")}><button type="button" class="quiet" onClick=${() => this.phone()}>${icon("phone")}${t("phone.show")}</button><//>`}</div></section>
      <section><h2>${t("sessions")}</h2><div class="panel"><${Loading} stamp=${this.state.stamp} from=${() => rows("sessions", { do: "list" }, "session")}>${(/** @type {any[]} */ all) => all.map((one) => html`
        <${Row} key=${one.id} title=${t(`sessions.${one.reach}`)} text=${instant(one.made)}>
          <button type="button" class="quiet" aria-label=${`${t("sessions.end")}: ${instant(one.made)}`} onClick=${() => this.revoke(one.id)}>${t("sessions.end")}</button><//>`)}<//>
        <${Row} title=${t("sessions.all")}><button type="button" class="danger" onClick=${() => this.revoke()}>${t("sessions.all")}</button><//></div></section>
      <section><h2>${t("recovery")}</h2><div class="panel">
        <${Row} title=${t("recovery.check")} text=${t("recovery.text")}><button type="button" class="quiet" onClick=${() => checkWords()}>${t("recovery.check.now")}</button><//>
        <${Row} title=${t("recovery.replace")} text=${t("recovery.replace.text")}><button type="button" class="quiet" onClick=${() => replaceWords()}>${t("recovery.replace.now")}</button><//></div></section>
      <section><h2>${t("settings.advanced")}</h2><div class="panel">
        <${Row} title=${t("diagnosis")} text=${t("diagnosis.text")}><button type="button" class="quiet" onClick=${() => this.diagnose()}>${t("diagnosis.now")}</button><//>
        ${this.state.diagnosis && html`<pre class="diagnosis" tabindex="0">${this.state.diagnosis}</pre>`}
        ${status && status.listen.length > 0 && html`<details><summary>${t("settings.addresses")}</summary><ul>${status.listen.map((/** @type {string} */ one) => html`<li key=${one}><code>${clean(one, 200)}</code></li>`)}</ul></details>`}</div></section>`;
  }
}
