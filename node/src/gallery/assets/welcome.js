// The first minute: who are you, start a family or join one, the words on paper, the first photos.
import { Component, html, icon, go, Trouble } from "./ui.js";
import { t, clean, LANGUAGES, shown, speak } from "./text.js";
import { act } from "./api.js";
import { home } from "./home.js";
import { adding } from "./add.js";
import { SameWords, question } from "./invite.js";
import { Words } from "./recovery.js";

/** @param {string} language */
async function change(language) {
  localStorage.setItem("language", language);
  await speak(language);
  window.dispatchEvent(new Event("heirloom:language"));
}

/** @param {any} it */
const Frame = ({ children }) => html`<main class="welcome"><div class="welcome-in">
  <header><img src="/assets/icon.svg" alt="" width="44" height="44"/><span class="wordmark">Heirloom</span><span class="space"/>
    <select aria-label=${t("settings.language")} value=${shown()} onChange=${(/** @type {any} */ e) => change(e.target.value)}>
      ${Object.entries(LANGUAGES).map(([tag, name]) => html`<option key=${tag} value=${tag}>${name}</option>`)}</select></header>
  ${children}</div></main>`;

/** What stands where no session is: the way in is the command. */
export const Locked = () => html`<${Frame}><h1>${t("locked")}</h1><p>${t("locked.text")}</p><p><code class="command">heirloom open</code></p><p class="dim">${t("locked.why")}</p><//>`;

export class Welcome extends Component {
  state = { step: this.props.which === "join" ? "join" : "who", person: "", device: home.state.device || "", family: "", words: null, ask: null, fault: null, busy: false, joined: null, part: 0 };
  stop = new AbortController();
  componentWillUnmount() { if (this.state.busy) this.stop.abort(); }
  /** The focus goes along from step to step. @param {any} _ @param {any} before */
  componentDidUpdate(_, before) {
    if (before.step === this.state.step && before.ask === this.state.ask) return;
    const place = /** @type {HTMLElement|null} */ (document.querySelector(".welcome [autofocus]") || document.querySelector(".welcome h1"));
    if (!place) return;
    if (place.tagName === "H1") place.tabIndex = -1;
    place.focus();
  }

  /** @param {any} event */
  async found(event) {
    event.preventDefault();
    const { person, device, family } = this.state;
    this.setState({ busy: true, fault: null });
    try {
      const made = await act("init", { family: family.trim() || t("welcome.family.default", { name: person.trim() }), person: person.trim(), device: device.trim() || undefined, recovery: true });
      this.setState({ busy: false, words: made.recovery, step: made.recovery ? "words" : "photos" });
    } catch (fault) { this.setState({ busy: false, fault }); }
  }
  /** @param {any} event */
  async join(event) {
    event.preventDefault();
    const { person, device } = this.state;
    const code = event.target.elements.code.value.trim();
    this.setState({ busy: true, fault: null });
    this.stop = new AbortController();
    try {
      const joined = await act("join", { code, person: person.trim() || undefined, device: device.trim() || undefined }, { signal: this.stop.signal, line: (line) => { if (line.type === "confirm") this.setState({ ask: line }); } });
      this.setState({ busy: false, ask: null, joined, words: joined.recovery || null, step: joined.recovery ? "words" : "joined" });
    } catch (fault) { if (!this.stop.signal.aborted) this.setState({ busy: false, ask: null, fault }); }
  }
  /** @param {boolean} accept */
  async answer(accept) {
    const ask = /** @type {any} */ (this.state.ask);
    this.setState({ ask: { ...ask, said: true } });
    try { await act("confirm", { token: ask.token, accept }); } catch (fault) { this.setState({ fault }); }
  }
  /** @param {string} [pictures] a folder whose photos are added */
  async finish(pictures) {
    try { await home.load(); } catch (fault) { this.setState({ fault }); return; }
    home.start();
    go("/photos");
    window.dispatchEvent(new Event("heirloom:place"));
    if (pictures) adding.folder(pictures);
  }
  render() {
    const { step } = this.state;
    const steps = /** @type {Record<string, () => any>} */ ({ who: () => this.who(), start: () => this.start(), back: () => this.back(), join: () => this.joins(), words: () => this.paper(), photos: () => this.photos(), joined: () => this.photos() });
    return html`<${Frame}>${steps[step]()}${this.state.fault && html`<${Trouble} fault=${this.state.fault}/>`}<//>`;
  }
  /** @param {string} name @param {string} label @param {any} [more] */
  field(name, label, more = {}) {
    return html`<label class="field"><span>${label}</span><input name=${name} value=${/** @type {any} */ (this.state)[name]} maxlength="60" autocomplete="off" onInput=${(/** @type {any} */ e) => this.setState({ [name]: e.target.value })} ...${more}/></label>`;
  }
  who() {
    const ready = this.state.person.trim().length > 0;
    return html`<h1>${t("welcome.who")}</h1><p>${t("welcome.text")}</p>
      <form onSubmit=${(/** @type {any} */ e) => e.preventDefault()}>${this.field("person", t("welcome.name"), { autofocus: true, required: true })}${this.field("device", t("welcome.device"))}
      <div class="ways two"><button class="way" disabled=${!ready} onClick=${() => this.setState({ step: "start" })}>${icon("people")}<strong>${t("welcome.start")}</strong><small>${t("welcome.start.text")}</small></button>
        <button type="button" class="way" disabled=${!ready} onClick=${() => this.setState({ step: "join" })}>${icon("phone")}<strong>${t("welcome.join")}</strong><small>${t("welcome.join.text")}</small></button></div></form>
      <p class="dim">${t("welcome.no")} <button type="button" class="quiet small" onClick=${() => this.setState({ step: "back" })}>${t("restore.words")}</button></p>`;
  }
  /** @param {any} event */
  async restore(event) {
    event.preventDefault();
    const field = (/** @type {string} */ name) => event.target.elements[name].value.trim();
    const words = field("words").toLowerCase().split(/\s+/).join(" ");
    this.setState({ busy: true, fault: null, part: 0 });
    this.stop = new AbortController();
    try {
      const back = await act("recovery", { do: "restore", words, device: this.state.device.trim() || undefined, peers: field("peers").split(/\s+/).filter(Boolean) },
        { signal: this.stop.signal, line: (line) => { if (line.type === "progress" && line.total) this.setState({ part: line.done / line.total }); } });
      this.setState({ busy: false, joined: back, step: "joined" });
    } catch (fault) { if (!this.stop.signal.aborted) this.setState({ busy: false, fault }); }
  }
  /** Only the words are left. */
  back() {
    const { busy, part } = /** @type {any} */ (this.state);
    return html`<h1>${t("restore.title")}</h1><p>${t("restore.text")}</p>
      <form onSubmit=${(/** @type {any} */ e) => this.restore(e)}>
        <label class="field"><span>${t("recovery.words")}</span><textarea name="words" rows="4" required autocomplete="off" autocapitalize="none" spellcheck=${false} autofocus/></label>
        ${this.field("device", t("welcome.device"))}
        <details><summary>${t("restore.far")}</summary><label class="field"><span>${t("restore.peers")}</span><textarea name="peers" rows="2" autocomplete="off" autocapitalize="none" spellcheck=${false} placeholder="/ip4/192.0.2.7/tcp/4433/p2p/12D3\u2026"/></label></details>
        ${busy && html`<p class="waiting-line" role="status">${icon("live", "pulse")}${t("restore.coming")}</p>${part > 0 && html`<progress max="1" value=${part} aria-label=${t("progress")}/>`}`}
        <footer><button type="button" class="quiet" onClick=${() => { this.stop.abort(); this.setState({ step: "who", busy: false, fault: null }); }}>${t("back")}</button><button class="main" disabled=${busy}>${t("restore.now")}</button></footer></form>`;
  }
  start() {
    const { busy, person } = this.state;
    return html`<h1>${t("welcome.family")}</h1><p>${t("welcome.family.text")}</p>
      <form onSubmit=${(/** @type {any} */ e) => this.found(e)}>${this.field("family", t("welcome.family.name"), { autofocus: true, placeholder: t("welcome.family.default", { name: person.trim() }) })}
        <footer><button type="button" class="quiet" onClick=${() => this.setState({ step: "who" })}>${t("back")}</button><button class="main" disabled=${busy}>${t("welcome.start")}</button></footer></form>`;
  }
  joins() {
    const { ask, busy } = /** @type {any} */ (this.state);
    if (ask) return html`<h1>${t("pair.same.title")}</h1><p class="question">${question(ask)}</p><p>${t("pair.same")}</p><${SameWords} words=${ask.words} label=${t("pair.words")}/>
      ${ask.said ? html`<p class="waiting-line" role="status">${icon("live", "pulse")}${t("pair.other")}</p>` : html`<footer><button type="button" class="danger" onClick=${() => this.answer(false)}>${t("pair.no")}</button><button type="button" class="main" onClick=${() => this.answer(true)}>${t("pair.yes")}</button></footer>`}`;
    return html`<h1>${t("welcome.join")}</h1><p>${t("join.text")}</p>
      <form onSubmit=${(/** @type {any} */ e) => this.join(e)}>
        <label class="field"><span>${t("join.code")}</span><textarea name="code" rows="3" required autocomplete="off" autocapitalize="none" spellcheck=${false} autofocus placeholder=${t("join.example")}/></label>
        ${busy && html`<p class="waiting-line" role="status">${icon("live", "pulse")}${t("join.looking")}</p>`}
        <footer><button type="button" class="quiet" onClick=${() => { this.stop.abort(); this.setState({ step: "who", busy: false, fault: null }); }}>${t("back")}</button><button class="main" disabled=${busy}>${t("join")}</button></footer></form>`;
  }
  paper() {
    const done = () => { this.setState({ words: null, step: this.state.joined ? "joined" : "photos" }); };
    return html`<h1>${t("recovery.title")}</h1><${Words} words=${this.state.words} done=${done}/>`;
  }
  photos() {
    const pictures = home.state.pictures;
    const joined = /** @type {any} */ (this.state.joined);
    return html`<h1>${joined ? t("join.done", { family: clean(joined.family_name, 60) }) : t("welcome.photos")}</h1><p>${t(joined ? "join.done.text" : "welcome.photos.text")}</p>
      ${pictures && html`<button type="button" class="way wide" onClick=${() => this.finish(pictures.path)}>${icon("folder")}<strong>${t("add.pictures", { n: pictures.count })}</strong><small>${clean(pictures.path, 120)}</small></button>`}
      <footer><button type="button" class=${pictures ? "quiet" : "main"} onClick=${() => this.finish()}>${t(pictures ? "welcome.notnow" : "welcome.go")}</button></footer>`;
  }
}
