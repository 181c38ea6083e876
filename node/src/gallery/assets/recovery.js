// The 24 words that bring a person back: shown once, never kept.
import { Component, html, icon, notice, Trouble } from "./ui.js";
import { t } from "./text.js";
import { act } from "./api.js";

/** Words that are asked for again: three of them, always others. @param {number} count */
function some(count) {
  const places = new Set();
  while (places.size < 3) places.add(crypto.getRandomValues(new Uint32Array(1))[0] % count);
  return [...places].sort((a, b) => a - b);
}

/** Shows new words, and asks for three of them, or for a promise.
 *  Nothing of them is put anywhere but on the screen. */
export class Words extends Component {
  state = { asks: false, wrong: false, places: some(this.props.words.length) };
  /** @param {any} event */
  check(event) {
    event.preventDefault();
    const right = this.state.places.every((place, nth) => event.target.elements[`word${nth}`].value.trim().toLowerCase() === this.props.words[place]);
    if (right) this.props.done(true); else this.setState({ wrong: true });
  }
  render() {
    const { asks, wrong, places } = this.state;
    const { words, done } = this.props;
    if (!asks) return html`<p>${t("recovery.write")}</p>
      <ol class="code-words many printed">${words.map((/** @type {string} */ word, /** @type {number} */ nth) => html`<li key=${nth}>${word}</li>`)}</ol>
      <p class="dim">${t("recovery.once")}</p>
      <footer><button type="button" class="quiet" onClick=${() => window.print()}>${t("print")}</button>
        <button type="button" class="main" onClick=${() => this.setState({ asks: true })}>${t("recovery.written")}</button></footer>`;
    return html`<form onSubmit=${(/** @type {any} */ e) => this.check(e)}><p>${t("recovery.three")}</p>
      ${places.map((place, nth) => html`<label class="field" key=${place}><span>${t("recovery.word", { n: place + 1 })}</span><input name=${`word${nth}`} autocomplete="off" autocapitalize="none" spellcheck=${false}/></label>`)}
      ${wrong && html`<p class="wrong" role="alert">${t("recovery.wrong")}</p>`}
      <footer><button type="button" class="quiet" onClick=${() => this.setState({ asks: false, wrong: false })}>${t("recovery.again")}</button>
        <button type="button" class="quiet" onClick=${() => done(false)}>${t("recovery.later")}</button>
        <button class="main">${t("recovery.check.now")}</button></footer></form>`;
  }
}

/** A field for all words: to check them, or to replace them by new ones. */
export class WordsForm extends Component {
  state = { fault: null, busy: false };
  /** @param {any} event */
  async send(event) {
    event.preventDefault();
    const words = event.target.elements.words.value.trim().toLowerCase().split(/\s+/).filter(Boolean).join(" ");
    this.setState({ busy: true, fault: null });
    try {
      const body = this.props.replace ? { do: "replace", ...(words ? { words } : {}) } : { do: "check", words };
      const told = await act("recovery", body);
      if (!this.props.replace) notice(t("recovery.right"));
      this.props.done(told.recovery);
    } catch (fault) { this.setState({ fault, busy: false }); }
  }
  render() {
    const { fault, busy } = /** @type {any} */ (this.state);
    return html`<form onSubmit=${(/** @type {any} */ e) => this.send(e)}><p>${t(this.props.replace ? "recovery.replace.how" : "recovery.check.how")}</p>
      <label class="field"><span>${t("recovery.words")}</span><textarea name="words" rows="4" autocomplete="off" autocapitalize="none" spellcheck=${false} autofocus required=${!this.props.replace}/></label>
      ${fault && html`<${Trouble} fault=${fault}/>`}
      <footer><button class="main" disabled=${busy}>${icon("check")}${t(this.props.replace ? "recovery.replace.now" : "recovery.check.now")}</button></footer></form>`;
  }
}
