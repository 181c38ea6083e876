// Who sees an album, and as what; the truth about taking it back is said before it is done.
import { Component, html, notice, noticeFault, Face, icon, Loading } from "./ui.js";
import { t, clean } from "./text.js";
import { act, rows } from "./api.js";
import { home } from "./home.js";
import { askPerson } from "./pick.js";
import { end } from "./deeds.js";
import { invite } from "./invite.js";

const ROLES = ["viewer", "contributor", "manager"];

export class Sharing extends Component {
  state = { stamp: 0 };
  again() { this.setState({ stamp: this.state.stamp + 1 }); }
  /** @param {any} album @param {string} person @param {string} role */
  async give(album, person, role) {
    try { await act("share", { album: album.id, person, role }); home.changed([]); } catch (fault) { noticeFault(fault); }
    this.again();
  }
  /** @param {any} album @param {any} one */
  async take(album, one) {
    const name = clean(one.name, 60);
    const ask = { title: t("share.take.ask", { name, album: clean(album.name, 60) }), text: t("share.take.text", { name }), yes: t("share.take") };
    try { if (await end("unshare", { album: album.id, person: one.person }, ask)) notice(t("share.taken", { name })); } catch (fault) { noticeFault(fault); }
    this.again();
  }
  /** @param {any} album */
  async more(album) {
    const person = await askPerson(t("share.add"), album.people.map((/** @type {any} */ one) => one.person));
    if (person === "invite") { await invite({ album }); this.again(); } else if (person) await this.give(album, person.id, "contributor");
  }
  render() {
    const find = async (/** @type {any} */ stop) => (await rows("album", { do: "list" }, "album", stop)).find((one) => one.id === this.props.album);
    return html`<${Loading} stamp=${this.state.stamp} from=${find}>${(/** @type {any} */ album) => html`
      <p class="dim">${t("share.text")}</p>
      <ul class="persons">${album.people.map((/** @type {any} */ one) => {
        const me = one.person === home.state.person_id;
        return html`<li key=${one.person}><${Face} name=${one.name}/><span class="grow">${clean(one.name, 80)}${me ? html` <small>${t("you")}</small>` : null}</span>
          ${one.creator || album.role !== "manager" ? html`<span class="dim">${t(`role.${one.role}`)}</span>` : html`
            <select aria-label=${t("share.role", { name: clean(one.name, 60) })} value=${one.role} onChange=${(/** @type {any} */ e) => this.give(album, one.person, e.target.value)}>
              ${ROLES.map((role) => html`<option key=${role} value=${role}>${t(`role.${role}`)}</option>`)}</select>
            ${!me && html`<button type="button" class="quiet small" onClick=${() => this.take(album, one)}>${t("share.take")}</button>`}`}</li>`;
      })}</ul>
      ${album.role === "manager" && html`<button type="button" class="quiet" onClick=${() => this.more(album)}>${icon("plus")}${t("share.add")}</button>`}`}<//>`;
  }
}
