// The small things all screens are made of: elements, icons, buttons, dialogs, notices, routes.
import { h, render, Component, createRef as refer } from "./vendor/preact.js";
import htm from "./vendor/htm.js";
import { t, clean, has } from "./text.js";

export const html = htm.bind(h);
export { h, render, Component };
/** @type {() => {current: any}} */
export const createRef = refer;

/** Shapes of 24 by 24, stroked. */
const ICONS = {
  photos: "M4 6.5A1.5 1.5 0 0 1 5.5 5h13A1.5 1.5 0 0 1 20 6.5v11a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 17.5zM4 16l4.5-5 4 4.5 2.5-2.5 5 5M15.5 9.2h.01",
  albums: "M7 4h10M5.5 7h13M5.5 10h13A1.5 1.5 0 0 1 20 11.5v7a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 18.5v-7A1.5 1.5 0 0 1 5.5 10z",
  people: "M9 11.5a3.25 3.25 0 1 0 0-6.5 3.25 3.25 0 0 0 0 6.5zM3 19.5c0-3.2 2.7-5 6-5s6 1.8 6 5M16 5.3a3.25 3.25 0 0 1 0 6M17.5 14.8c2.1.6 3.5 2.2 3.5 4.7",
  shield: "M12 3.5l7 2.5v5.5c0 4.5-3 7.7-7 9-4-1.3-7-4.5-7-9V6z",
  safe: "M12 3.5l7 2.5v5.5c0 4.5-3 7.7-7 9-4-1.3-7-4.5-7-9V6zM8.8 12l2.3 2.3 4.2-4.5",
  warn: "M12 4l9 15.5H3zM12 10v4.5M12 17h.01",
  plus: "M12 5v14M5 12h14",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM16.2 16.2L20.5 20.5",
  close: "M6 6l12 12M18 6L6 18",
  check: "M5 12.5l4.5 4.5L19 7.5",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  up: "M5 15l7-7 7 7",
  heart: "M12 19.5C5.5 15 3.5 11.8 3.5 8.8A4.3 4.3 0 0 1 12 7.3a4.3 4.3 0 0 1 8.5 1.5c0 3-2 6.2-8.5 10.7z",
  trash: "M5 7h14M10 7V4.5h4V7M6.5 7l1 12.5h9l1-12.5M10.2 10.5v5.5M13.8 10.5v5.5",
  restore: "M4.5 5v5h5M4.9 10a7.5 7.5 0 1 1-.4 4",
  download: "M12 4v11M7.5 11l4.5 4.5 4.5-4.5M5 19.5h14",
  info: "M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17zM12 11v5.5M12 7.8h.01",
  share: "M12 15V4M8 7.5L12 3.5l4 4M7 11H5.5v9h13v-9H17",
  zoom: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM16.2 16.2L20.5 20.5M11 8v6M8 11h6",
  more: "M6.2 12a.7.7 0 1 1-1.4 0 .7.7 0 0 1 1.4 0zM12.7 12a.7.7 0 1 1-1.4 0 .7.7 0 0 1 1.4 0zM19.2 12a.7.7 0 1 1-1.4 0 .7.7 0 0 1 1.4 0z",
  edit: "M4.5 19.5l1-4L16 5l3 3L8.5 18.5zM14 7l3 3",
  settings: "M4 7h9M17 7h3M15 9.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4zM4 17h3M11 17h9M9 19.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4z",
  activity: "M4.5 5h15v11h-8.5L7 19.5V16H4.5z",
  laptop: "M5.5 5.5h13v9.5h-13zM3 18.5h18",
  phone: "M8 3.5h8v17H8zM11.5 17.7h1",
  box: "M4.5 8l7.5-4 7.5 4v8l-7.5 4-7.5-4zM4.5 8l7.5 4 7.5-4M12 12v8",
  play: "M8 5.5l10.5 6.5L8 18.5z",
  live: "M12 14.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM12 18.5a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13z",
  here: "M12 3.5l7 2.5v5.5c0 4.5-3 7.7-7 9-4-1.3-7-4.5-7-9V6zM12 8v4.5M12 15.5h.01",
  folder: "M4 7.5A1.5 1.5 0 0 1 5.5 6H10l2 2.5h6.5A1.5 1.5 0 0 1 20 10v7.5a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 17.5z",
  full: "M5 9.5V5h4.5M14.5 5H19v4.5M19 14.5V19h-4.5M9.5 19H5v-4.5",
  keys: "M3.5 7h17v10.5h-17zM7 10.2h.01M10.3 10.2h.01M13.7 10.2h.01M17 10.2h.01M8 14.2h8",
};

/** @param {keyof typeof ICONS} name @param {string} [more] class */
export const icon = (name, more = "") => html`<svg class=${`icon ${more}`} viewBox="0 0 24 24" aria-hidden="true"><path d=${ICONS[name]}/></svg>`;

/** The same without preact. @param {keyof typeof ICONS} name @param {string} [more] */
export function iconNode(name, more = "") {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon ${more}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A round button that shows only its icon.
 *  @param {{icon: keyof typeof ICONS, label: string, onClick?: (e: any) => void, pressed?: boolean, cls?: string, disabled?: boolean, hotkey?: string}} it */
export const IconButton = ({ icon: name, label, onClick, pressed, cls, disabled, hotkey }) => html`
  <button type="button" class=${`round ${cls || ""}`} data-key=${hotkey} aria-label=${label} title=${label} disabled=${disabled}
    aria-pressed=${pressed === undefined ? undefined : String(pressed)} onClick=${onClick}>${icon(name)}</button>`;

/** Goes to another place of the page. @param {string} path @param {boolean} [replace] */
export function go(path, replace = false) {
  if (location.pathname + location.search === path) return;
  if (replace) history.replaceState(history.state, "", path);
  else history.pushState({ inside: true }, "", path);
  window.dispatchEvent(new Event("heirloom:place"));
}

/** A link within the page. */
export function Link(/** @type {any} */ { href, children, ...rest }) {
  const onClick = (/** @type {MouseEvent} */ event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    go(href);
  };
  return html`<a href=${href} ...${rest} onClick=${onClick}>${children}</a>`;
}

/** How many there have been. */
let dialogs = 0;

/** A dialog of the browser itself: it keeps the focus, Escape and a click beside it close it, unless it is
 *  `firm` at that moment; one that is `sealed` is left by what stands in it alone. */
export class Dialog extends Component {
  box = createRef();
  /** More than one may be open: each has a title of its own. */
  id = `sheet-${dialogs += 1}`;
  componentDidMount() {
    this.box.current.showModal();
    // Escape is taken before it asks to close, wherever the focus is: a second such question could not be refused.
    this.holds = (/** @type {any} */ e) => {
      const top = [...document.querySelectorAll("dialog[open]")].pop();
      if ((e.type === "cancel" || e.key === "Escape") && top === this.box.current && this.isFirm()) e.preventDefault();
    };
    this.box.current.addEventListener("cancel", this.holds);
    window.addEventListener("keydown", this.holds);
    this.box.current.addEventListener("close", () => this.props.onClose && this.props.onClose());
  }
  componentWillUnmount() { window.removeEventListener("keydown", /** @type {any} */ (this.holds)); }
  isFirm() { return this.props.sealed || Boolean(this.props.firm && this.props.firm()); }
  render() {
    const { title, children, cls, sealed } = this.props;
    const close = () => this.box.current.close();
    return html`<dialog ref=${this.box} class=${`sheet ${cls || ""}`} aria-labelledby=${this.id}
        onClick=${(/** @type {any} */ e) => { if (e.target === this.box.current && !this.isFirm()) close(); }}>
      <div class="sheet-in">
        <header><h2 id=${this.id}>${title}</h2>
          ${!sealed && html`<${IconButton} icon="close" label=${t("close")} onClick=${close}/>`}</header>
        ${typeof children === "function" ? children(close) : children}
      </div></dialog>`;
  }
}

/** Shows a component in a layer of its own until it is done.
 *  @template T @param {(done: (value?: T) => void) => any} make @returns {Promise<T|undefined>} */
export function layer(make) {
  return new Promise((tell) => {
    const place = document.createElement("div");
    const before = /** @type {HTMLElement|null} */ (document.activeElement);
    (document.querySelector(".viewer") || document.body).append(place);
    const done = (/** @type {any} */ value) => {
      if (!place.isConnected) return;
      render(null, place);
      place.remove();
      if (before && before.isConnected) before.focus({ preventScroll: true });
      tell(value);
    };
    render(make(done), place);
  });
}

/** Asks before something that cannot simply be taken back.
 *  @param {{title: string, text: string, yes: string, danger?: boolean}} it @returns {Promise<boolean>} */
export async function confirm({ title, text, yes, danger }) {
  let said = false;
  await layer((done) => html`<${Dialog} title=${title} onClose=${done}>${(/** @type {any} */ close) => html`
    <p>${text}</p>
    <footer>
      <button type="button" class="quiet" autofocus onClick=${close}>${t("cancel")}</button>
      <button type="button" class=${danger ? "danger" : "main"} onClick=${() => { said = true; close(); }}>${yes}</button>
    </footer>`}<//>`);
  return said;
}

/** A field, and what became of what was typed into it: it stays until it was taken. */
class Asking extends Component {
  state = { said: this.props.value || "", busy: false, fault: null };
  /** @param {any} event */
  async submit(event) {
    event.preventDefault();
    const said = this.state.said.trim();
    const { send, tell } = this.props;
    this.setState({ busy: true, fault: null });
    try { if (send) await send(said); } catch (fault) { this.setState({ busy: false, fault }); return; }
    tell(said);
  }
  render() {
    const { label, yes, text, long, free, most = 120, type = "text", example, close } = this.props;
    const { said, busy, fault } = /** @type {any} */ (this.state);
    const onInput = (/** @type {any} */ e) => this.setState({ said: e.target.value });
    return html`<form onSubmit=${(/** @type {any} */ e) => this.submit(e)}>
      ${text && html`<p>${text}</p>`}
      <label class="field"><span>${label}</span>
        ${long ? html`<textarea name="said" rows="3" maxlength="4000" value=${said} onInput=${onInput} autofocus/>`
          : html`<input name="said" type=${type} value=${said} onInput=${onInput} maxlength=${type === "text" ? most : undefined} autocomplete="off" autofocus required=${!free}/>`}
        ${example && html`<small>${example}</small>`}</label>
      ${fault && html`<${Trouble} fault=${fault}/>`}
      <footer><button type="button" class="quiet" onClick=${close}>${t("cancel")}</button>
        <button class="main" disabled=${busy}>${yes}</button></footer></form>`;
  }
}

/** Asks for a line of text. With `send` the dialog closes once that has taken it; what goes wrong is said in it.
 *  @param {{title: string, label: string, value?: string, yes: string, text?: string, long?: boolean, free?: boolean, most?: number, type?: string, example?: string, send?: (said: string) => Promise<void>}} it
 *  @returns {Promise<string|undefined>} */
export async function prompt(it) {
  /** @type {string|undefined} */
  let said;
  await layer((done) => html`<${Dialog} title=${it.title} onClose=${done}>${(/** @type {any} */ close) => html`
    <${Asking} ...${it} close=${close} tell=${(/** @type {string} */ text) => { said = text; close(); }}/>`}<//>`);
  return said;
}

/** Which sentence the table has for what went wrong: that of the very thing, where there is one. @param {any} fault */
function sentence(fault) {
  const id = `error.${fault.id || "E-PAGE"}`;
  return [fault.why ? `${id}.${fault.why.id}` : id, id].find(has);
}

/** What went wrong; what the node said itself stands in it where only that tells which. @param {any} fault */
export const faultText = (fault) => t(sentence(fault) || "error.other", { ...fault.why, message: clean(fault.message) });

/** What went wrong, as a person reads it: what happened, what is safe, what to do; the id folds out.
 *  @param {{fault: any, retry?: () => void}} it */
export function Trouble({ fault, retry }) {
  const id = fault.id || "E-PAGE";
  const own = sentence(fault);
  return html`<div class="trouble" role="alert">
    ${icon("warn")}
    <div><p class="what">${faultText(fault)}</p>
      ${fault.safe && !own && html`<p>${clean(fault.safe)}</p>`}
      ${fault.hint && !own && html`<p class="dim">${clean(fault.hint)}</p>`}
      <details><summary>${t("error.details")}</summary><code>${clean(id)}</code>${own && fault.message !== id ? html` <span>${clean(fault.message)}</span>` : null}</details>
      ${retry && html`<button type="button" class="quiet" onClick=${retry}>${t("again")}</button>`}
    </div></div>`;
}

/** @type {((notice: {text: string, undo?: () => void}) => void)[]} */
const noticed = [];
/** Says something for a few seconds. @param {string} text @param {() => void} [undo] */
export function notice(text, undo) { for (const call of noticed) call({ text, undo }); }
/** Says what went wrong for a few seconds. @param {any} fault */
export function noticeFault(fault) {
  if (fault && fault.name === "AbortError") return;
  notice(faultText(fault));
}

/** The place where notices stand; also what a screen reader hears. */
export class Notices extends Component {
  state = { now: null, said: "" };
  timer = 0;
  componentDidMount() {
    noticed.push((now) => {
      window.clearTimeout(this.timer);
      this.setState({ now });
      this.timer = window.setTimeout(() => this.setState({ now: null }), 7000);
    });
    window.addEventListener("heirloom:say", (event) => this.setState({ said: /** @type {CustomEvent} */ (event).detail }));
  }
  render() {
    const now = /** @type {any} */ (this.state.now);
    return html`<div class="notices"><div role="status" aria-live="polite">
      ${now && html`<div class="notice"><span>${now.text}</span>
        ${now.undo && html`<button type="button" onClick=${() => { now.undo(); this.setState({ now: null }); }}>${t("undo")}</button>`}</div>`}
      <span class="unseen">${this.state.said}</span></div></div>`;
  }
}
/** Says something to who listens instead of looking. @param {string} text */
export const say = (text) => window.dispatchEvent(new CustomEvent("heirloom:say", { detail: text }));

/** A thing that loads: waiting, trouble, or there. */
export class Loading extends Component {
  state = { value: undefined, fault: null };
  stop = new AbortController();
  componentDidMount() { this.load(); }
  componentDidUpdate(/** @type {any} */ before) { if (before.stamp !== this.props.stamp) this.load(); }
  componentWillUnmount() { this.stop.abort(); }
  async load() {
    try {
      const value = await this.props.from(this.stop.signal);
      if (!this.stop.signal.aborted) this.setState({ value, fault: null });
    } catch (fault) {
      if (!this.stop.signal.aborted) this.setState({ fault });
    }
  }
  render() {
    const { value, fault } = this.state;
    if (fault) return html`<${Trouble} fault=${fault} retry=${() => this.load()}/>`;
    if (value === undefined) return html`<p class="waiting" aria-busy="true">${t("waiting")}</p>`;
    return this.props.children(value, () => this.load());
  }
}

/** Whether keys belong to a field or a dialog now. @param {KeyboardEvent} event */
export function isTyping(event) {
  const at = /** @type {HTMLElement} */ (event.target);
  if (event.ctrlKey || event.metaKey || event.altKey) return true;
  if (document.querySelector("dialog[open]")) return true;
  return Boolean(at && at.closest && at.closest("input, textarea, select, [contenteditable]"));
}

/** The first letters of a name, for a round mark. @param {string} name */
export const initials = (name) => clean(name).trim().split(/\s+/).slice(0, 2).map((word) => Array.from(word)[0] || "").join("").toUpperCase();

/** A person's round mark; its colour follows the name. @param {{name: string, small?: boolean}} it */
export function Face({ name, small }) {
  let sum = 0;
  for (const letter of name || "?") sum = (sum * 31 + (letter.codePointAt(0) || 0)) % 6;
  return html`<span class=${`face tint-${sum} ${small ? "small" : ""}`} title=${clean(name, 80)} aria-hidden="true">${initials(name || "?")}</span>`;
}
