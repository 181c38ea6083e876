// A code for one more device or person: as a picture, as words, with the time it has left.
import { Component, html, layer, Dialog, Trouble, icon } from "./ui.js";
import { t, clean, has, instant } from "./text.js";
import { act } from "./api.js";
import { home } from "./home.js";

/** @param {{device?: boolean, album?: any}} [how] @returns {Promise<any>} who joined */
export function invite(how = {}) {
  // The code dies with its window: once somebody may be typing it, no slip of the hand closes that.
  let holds = false;
  return layer((done) => html`<${Dialog} title=${t(how.device ? "pair.title" : "invite.title")} cls="pairing" onClose=${done} firm=${() => holds}>
    ${(/** @type {any} */ close) => html`<${Inviting} how=${how} hold=${(/** @type {boolean} */ on) => { holds = on; }} close=${() => { close(); }}/>`}<//>`);
}

/** A picture that the node drew, as a file of this page. @param {string} svg */
const picture = (svg) => URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));

/** What is asked of a person, in the reader's words. @param {any} ask the node's line */
export const question = (ask) => (has(`pair.ask.${ask.id}`) ? t(`pair.ask.${ask.id}`, { device: clean(ask.device, 60), person: clean(ask.person, 60) }) : clean(ask.ask, 200));

/** Four words that must be the same on both screens. @param {{words: string[], label: string}} it */
export const SameWords = ({ words, label }) => html`<ol class="same-words" aria-label=${label}>${words.map((word) => html`<li key=${word}>${word}</li>`)}</ol>`;

/** Twelve words in large letters, numbered. @param {{words: string[]}} it */
export const CodeWords = ({ words }) => html`<ol class="code-words">${words.map((word, nth) => html`<li key=${nth}>${word}</li>`)}</ol>`;

class Inviting extends Component {
  state = { step: "whom", kind: this.props.how.device ? "device" : "person", name: "", role: "member", code: null, qr: "", ask: null, joined: null, fault: null, copied: false };
  stop = new AbortController();
  componentDidMount() { if (this.props.how.device) this.begin(); }
  componentWillUnmount() {
    // The code dies with the window, whatever its end was.
    this.stop.abort();
    if (this.state.qr) URL.revokeObjectURL(this.state.qr);
  }
  async begin() {
    const { kind, name, role } = this.state;
    const { album } = this.props.how;
    /** @type {any} */
    const body = kind === "device" ? { device: true } : kind === "keeper" ? { keeper: name } : { person: name, role, album: album ? [album.id] : [] };
    this.stop = new AbortController();
    this.setState({ step: "code", fault: null, code: null, ask: null });
    try {
      const joined = await act("invite", body, { signal: this.stop.signal, line: (line) => this.line(line) });
      this.props.hold(false);
      this.setState({ step: "joined", joined });
      home.changed([]);
      home.look();
    } catch (fault) { this.props.hold(false); if (!this.stop.signal.aborted) this.setState({ fault, ask: null, step: "code" }); }
  }
  /** @param {any} line */
  line(line) {
    if (line.type === "invite") {
      this.props.hold(true);
      this.setState({ code: line, qr: line.qr ? picture(line.qr) : "" });
    }
    if (line.type === "confirm") this.setState({ ask: line });
  }
  /** @param {boolean} accept */
  async answer(accept) {
    const ask = /** @type {any} */ (this.state.ask);
    this.setState({ ask: { ...ask, said: true } });
    try { await act("confirm", { token: ask.token, accept }); } catch (fault) { this.setState({ fault }); }
  }
  render() {
    const { step, fault } = /** @type {any} */ (this.state);
    if (fault) return html`<${Trouble} fault=${fault}/><footer><button type="button" class="quiet" onClick=${this.props.close}>${t("close")}</button>
      <button type="button" class="main" onClick=${() => this.begin()}>${t("invite.new")}</button></footer>`;
    if (step === "whom") return this.whom();
    if (step === "joined") return this.joined();
    return this.state.ask ? this.asks() : this.code();
  }
  whom() {
    const { kind, name, role } = /** @type {any} */ (this.state);
    const kinds = this.props.how.album ? ["person"] : ["person", "device", "keeper"];
    return html`<form onSubmit=${(/** @type {any} */ e) => { e.preventDefault(); this.begin(); }}>
      ${kinds.length > 1 && html`<fieldset class="kinds"><legend>${t("invite.whom")}</legend>${kinds.map((one) => html`<label key=${one} class=${kind === one ? "on" : ""}>
        <input type="radio" name="kind" value=${one} checked=${kind === one} onChange=${() => this.setState({ kind: one })}/>
        <span><strong>${t(`invite.${one}`)}</strong><small>${t(`invite.${one}.text`)}</small></span></label>`)}</fieldset>`}
      ${kind !== "device" && html`<label class="field"><span>${t(kind === "keeper" ? "invite.keeper.name" : "invite.name")}</span>
        <input value=${name} maxlength="60" required autocomplete="off" onInput=${(/** @type {any} */ e) => this.setState({ name: e.target.value })}/></label>`}
      ${kind === "person" && html`<label class="field"><span>${t("invite.role")}</span><select value=${role} onChange=${(/** @type {any} */ e) => this.setState({ role: e.target.value })}>
        ${["member", "viewer", "admin"].map((one) => html`<option key=${one} value=${one}>${t(`family.${one}`)}</option>`)}</select></label>`}
      <footer><button type="button" class="quiet" onClick=${this.props.close}>${t("cancel")}</button><button class="main">${t("invite.make")}</button></footer></form>`;
  }
  code() {
    const { code, qr, copied } = /** @type {any} */ (this.state);
    if (!code) return html`<p class="waiting" aria-busy="true">${t("invite.making")}</p>`;
    const copy = () => navigator.clipboard.writeText(code.code).then(() => this.setState({ copied: true })).catch(() => {});
    return html`<p>${t("invite.how")}</p>
      <div class="code">${qr && html`<img class="qr" src=${qr} alt=${t("invite.qr")}/>`}<${CodeWords} words=${code.words}/></div>
      <p class="dim">${t("invite.left", { until: instant(code.expires) })}</p>
      ${code.from_afar && html`<p class="dim">${t(`invite.afar.${code.from_afar}`)}${code.invite_on ? ` ${t("invite.afar.on", { device: clean(code.invite_on, 60) })}` : ""}</p>`}
      <p class="waiting-line">${icon("live", "pulse")}${t("invite.waiting")}</p>
      <footer><button type="button" class="quiet" onClick=${copy}>${t(copied ? "copied" : "invite.copy")}</button>
        <button type="button" class="quiet" onClick=${this.props.close}>${t("invite.back")}</button></footer>`;
  }
  asks() {
    const ask = /** @type {any} */ (this.state.ask);
    return html`<p class="question">${question(ask)}</p><p>${t("pair.same")}</p>
      <${SameWords} words=${ask.words} label=${t("pair.words")}/>
      ${ask.said ? html`<p class="waiting-line" role="status">${icon("live", "pulse")}${t("pair.other")}</p>` : html`<footer>
        <button type="button" class="danger" onClick=${() => this.answer(false)}>${t("pair.no")}</button>
        <button type="button" class="main" onClick=${() => this.answer(true)}>${t("pair.yes")}</button></footer>`}`;
  }
  joined() {
    const joined = /** @type {any} */ (this.state.joined);
    const name = clean(joined.person_name || joined.device_name, 80);
    return html`<div class="done">${icon("safe")}<p>${t("invite.joined", { name })}</p></div>
      ${!joined.stored && html`<p class="dim">${t("invite.later")}</p>`}
      <footer><button type="button" class="main" onClick=${this.props.close}>${t("done")}</button></footer>`;
  }
}
