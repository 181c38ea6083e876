// The people of the family: their devices, what is shared with them, and the words to compare once.
import { Component, html, icon, Loading, Face, Dialog, IconButton, confirm, layer, notice, noticeFault, prompt } from "./ui.js";
import { t, clean, instant } from "./text.js";
import { act, rows } from "./api.js";
import { home } from "./home.js";
import { removeFromFamily } from "./deeds.js";
import { invite } from "./invite.js";
import { isAdmin } from "./pick.js";

/** When the words were compared is this device's own note. @param {string} id */
const verified = (id) => localStorage.getItem(`verified:${id}`);

export class People extends Component {
  /** Only who looks after the family is offered what only they may do. */
  state = { stamp: 0, admin: false };
  componentDidMount() { this.forget = home.on("changed", () => this.again()); }
  /** @param {any} signal */
  async all(signal) {
    const [people, devices, albums] = await Promise.all([
      rows("people", { do: "list" }, "person", signal), rows("device", { do: "list" }, "device", signal), rows("album", { do: "list" }, "album", signal)]);
    this.setState({ admin: isAdmin(people) });
    return { people, devices, albums };
  }
  componentWillUnmount() { if (this.forget) this.forget(); }
  again() { this.setState({ stamp: this.state.stamp + 1 }); }
  /** @param {any} person */
  async words(person) {
    await layer((done) => html`<${Dialog} title=${t("words.title")} onClose=${done}>${(/** @type {any} */ close) => html`
      <p>${t("words.text", { name: clean(person.name, 60) })}</p>
      <${Loading} from=${() => act("words")}>${(/** @type {any} */ told) => html`<ol class="code-words">${(Array.isArray(told.words) ? told.words : String(told.words).split(" ")).map((/** @type {string} */ word) => html`<li key=${word}>${word}</li>`)}</ol>`}<//>
      <footer><button type="button" class="quiet" onClick=${close}>${t("words.later")}</button>
        <button type="button" class="main" onClick=${() => { localStorage.setItem(`verified:${person.id}`, new Date().toISOString()); close(); }}>${t("words.same")}</button></footer>`}<//>`);
    this.again();
  }
  /** @param {any} person */
  async menu(person) {
    const name = clean(person.name, 60);
    /** @type {string} */
    let deed = "";
    await layer((done) => html`<${Dialog} title=${name} onClose=${done}>${(/** @type {any} */ close) => html`<ul class="choices">
      <li><button type="button" onClick=${() => { deed = "rename"; close(); }}>${icon("edit")}<span>${t("rename")}</span></button></li>
      ${this.state.admin && !person.this && !person.founder && html`<li><button type="button" onClick=${() => { deed = "remove"; close(); }}>${icon("trash")}<span>${t("people.remove")}</span></button></li>`}</ul>`}<//>`);
    try {
      if (deed === "rename") {
        const said = await prompt({ title: t("rename"), label: t("name"), value: person.name, yes: t("save") });
        if (said) await act("people", { do: "rename", person: person.id, name: said });
      } else if (deed === "remove") {
        if (!await confirm({ title: t("people.remove.ask", { name }), text: t("people.remove.text", { name }), yes: t("people.remove"), danger: true })) return;
        const done = await removeFromFamily("people", { do: "remove", person: person.id }, name);
        if (done) notice(t("people.removed", { name }));
      }
    } catch (fault) { noticeFault(fault); }
    this.again();
  }
  render() {
    return html`<div class="page"><header class="page-head"><h1>${t("nav.people")}</h1><span class="space"/>
        ${this.state.admin && html`<button type="button" class="main own" onClick=${() => invite().then(() => this.again())}>${icon("plus")}${t("people.invite")}</button>`}</header>
      <${Loading} stamp=${this.state.stamp} from=${(/** @type {any} */ stop) => this.all(stop)}>${(/** @type {any} */ told) => html`<ul class="cards">${told.people.map((/** @type {any} */ person) => this.person(person, told))}</ul>`}<//></div>`;
  }
  /** @param {any} person @param {any} told */
  person(person, told) {
    const devices = told.devices.filter((/** @type {any} */ one) => one.person === person.id && !one.removed);
    const albums = told.albums.filter((/** @type {any} */ one) => one.people.some((/** @type {any} */ who) => who.person === person.id) && one.use !== "library");
    const at = verified(person.id);
    return html`<li key=${person.id} class="panel"><div class="panel-head"><${Face} name=${person.name}/>
        <div class="grow"><h2>${clean(person.name, 80)}</h2><p class="dim">${[person.this ? t("you") : "", person.role ? t(`family.${person.role}`) : ""].filter(Boolean).join(" \u00b7 ")}</p></div>
        ${(this.state.admin || person.this) && html`<${IconButton} icon="more" cls="own" label=${t("more.of", { name: clean(person.name, 60) })} onClick=${() => this.menu(person)}/>`}</div>
      <dl class="facts"><div><dt>${t("people.devices")}</dt><dd>${devices.map((/** @type {any} */ one) => clean(one.name, 60)).join(", ") || t("none")}</dd></div>
        <div><dt>${t("people.albums")}</dt><dd>${albums.map((/** @type {any} */ one) => clean(one.name, 60)).join(", ") || t("none")}</dd></div></dl>
      ${!person.this && html`<button type="button" class=${`quiet own ${at ? "verified" : ""}`} onClick=${() => this.words(person)}>${icon(at ? "safe" : "shield")}${at ? t("words.verified", { at: instant(at) }) : t("words.compare")}</button>`}
      ${person.this && !person.recovery && html`<p class="dim">${t("recovery.none")}</p>`}</li>`;
  }
}
