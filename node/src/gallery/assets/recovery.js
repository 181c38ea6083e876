// The 24 words that bring a person back: shown once, never kept.
import { Component, Dialog, confirm, html, icon, layer, notice, Trouble } from "./ui.js";
import { t, clean, dateOf } from "./text.js";
import { act, get } from "./api.js";
import { UNPRINTED } from "./home.js";

/** Words that are asked for again: three of them, always others. @param {number} count */
function some(count) {
  const places = new Set();
  while (places.size < 3) places.add(crypto.getRandomValues(new Uint32Array(1))[0] % count);
  return [...places].sort((a, b) => a - b);
}

const printed = () => localStorage.removeItem(UNPRINTED);

/** Asks for the words, so that who has them knows it. */
export const checkWords = () => layer((done) => html`<${Dialog} title=${t("recovery.check")} onClose=${done}><${WordsForm} done=${done}/><//>`);

/** Asks for the old words and shows the new ones. */
export async function replaceWords() {
  const words = await layer((done) => html`<${Dialog} title=${t("recovery.replace")} onClose=${done}><${WordsForm} replace done=${done}/><//>`);
  if (words) await layer((done) => html`<${Dialog} title=${t("recovery.new")} onClose=${done} sealed>${(/** @type {any} */ close) => html`<${Words} words=${words} done=${close}/>`}<//>`);
}

/** Shows new words, and asks for three of them; who goes on without them hears what that means, and is reminded.
 *  Nothing of them is put anywhere but on the screen. */
export class Words extends Component {
  state = { asks: false, wrong: false, places: some(this.props.words.length), of: null };
  componentDidMount() {
    // Also who closes the page has them on no paper.
    localStorage.setItem(UNPRINTED, "1");
    // Whose they are stands on the paper; on the first page nobody has asked for it yet.
    get("/api/v1/state").then((of) => this.setState({ of }), () => {});
  }
  /** @param {any} event */
  check(event) {
    event.preventDefault();
    const right = this.state.places.every((place, nth) => event.target.elements[`word${nth}`].value.trim().toLowerCase() === this.props.words[place]);
    if (!right) { this.setState({ wrong: true }); return; }
    printed();
    this.props.done();
  }
  async without() {
    if (await confirm({ title: t("recovery.without"), text: t("recovery.without.text"), yes: t("recovery.later"), danger: true })) this.props.done();
  }
  render() {
    const { asks, wrong, places } = this.state;
    const { words } = this.props;
    const of = /** @type {any} */ (this.state.of);
    if (!asks) return html`<p class="off-paper">${t("recovery.write")}</p>
      <div class="on-paper">${of && html`<p><strong>${t("recovery.paper.of", { person: clean(of.person, 80), family: clean(of.family, 80) })}</strong></p>`}<p>${t("recovery.paper.made", { day: dateOf(new Date()) })}</p></div>
      <ol class="code-words many printed">${words.map((/** @type {string} */ word, /** @type {number} */ nth) => html`<li key=${nth}>${word}</li>`)}</ol>
      <p class="dim">${t("recovery.once")}</p>
      <p class="on-paper">${t("recovery.paper.use")}</p>
      <footer><button type="button" class="quiet" onClick=${() => window.print()}>${t("print")}</button>
        <button type="button" class="main" onClick=${() => this.setState({ asks: true })}>${t("recovery.written")}</button></footer>`;
    return html`<form onSubmit=${(/** @type {any} */ e) => this.check(e)}><p>${t("recovery.three")}</p>
      ${places.map((place, nth) => html`<label class="field" key=${place}><span>${t("recovery.word", { n: place + 1 })}</span><input name=${`word${nth}`} autocomplete="off" autocapitalize="none" spellcheck=${false}/></label>`)}
      ${wrong && html`<p class="wrong" role="alert">${t("recovery.wrong")}</p>`}
      <footer><button type="button" class="quiet" onClick=${() => this.setState({ asks: false, wrong: false })}>${t("recovery.again")}</button>
        <button type="button" class="quiet" onClick=${() => this.without()}>${t("recovery.later")}</button>
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
      if (!this.props.replace) { printed(); notice(t("recovery.right")); }
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
