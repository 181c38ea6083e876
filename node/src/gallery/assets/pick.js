// Dialogs in which something is picked: an album, a person, a month.
import { Dialog, Loading, html, icon, layer, Face } from "./ui.js";
import { t, clean, monthName } from "./text.js";
import { rows, act } from "./api.js";

/** Albums that one may add to, or a new one. @param {string} title @returns {Promise<{id: string, name: string}|undefined>} */
export async function askAlbum(title) {
  /** @type {any} */
  let picked;
  await layer((done) => html`<${Dialog} title=${title} onClose=${done}>${(/** @type {any} */ close) => html`
    <form class="inline" onSubmit=${async (/** @type {any} */ e) => {
      e.preventDefault();
      const name = e.target.elements.name.value.trim();
      if (!name) return;
      const made = await act("album", { do: "create", name });
      picked = { id: made.album, name };
      close();
    }}>
      <label class="field"><span>${t("album.new")}</span><input name="name" maxlength="120" autocomplete="off" placeholder=${t("album.new.example")}/></label>
      <button class="main">${t("create")}</button>
    </form>
    <${Loading} from=${(/** @type {any} */ stop) => rows("album", { do: "list" }, "album", stop)}>${(/** @type {any[]} */ albums) => html`
      <ul class="choices">${albums.filter((one) => one.role !== "viewer").map((one) => html`
        <li key=${one.id}><button type="button" onClick=${() => { picked = one; close(); }}>
          ${icon("albums")}<span>${clean(one.name)}</span><small>${t("photos.count", { n: one.assets })}</small></button></li>`)}</ul>`}<//>`}<//>`);
  return picked;
}

/** Whether this person looks after the family, who alone may invite and remove people. @param {any[]} people */
export const isAdmin = (people) => people.some((one) => one.this && one.role === "admin");

/** One of the people who are not yet there. @param {string} title @param {string[]} there ids @returns {Promise<any>} */
export async function askPerson(title, there) {
  /** @type {any} */
  let picked;
  await layer((done) => html`<${Dialog} title=${title} onClose=${done}>${(/** @type {any} */ close) => html`
    <${Loading} from=${(/** @type {any} */ stop) => rows("people", { do: "list" }, "person", stop)}>${(/** @type {any[]} */ people) => {
      const left = people.filter((one) => !there.includes(one.id));
      return html`<ul class="choices">${left.map((one) => html`<li key=${one.id}><button type="button" onClick=${() => { picked = one; close(); }}>
          <${Face} name=${one.name}/><span>${clean(one.name)}</span></button></li>`)}
        ${isAdmin(people) ? html`<li><button type="button" onClick=${() => { picked = "invite"; close(); }}><span class="face plus">${icon("plus")}</span><span>${t("people.invite")}</span></button></li>`
          : left.length === 0 && html`<li><p class="dim">${t("share.everybody")}</p></li>`}</ul>`;
    }}<//>`}<//>`);
  return picked;
}

/** A month, as `2019-08`. @param {string[]} months @returns {Promise<string|undefined>} */
export async function askDate(months) {
  /** @type {string|undefined} */
  let picked;
  const dated = months.filter((month) => month !== "undated");
  await layer((done) => html`<${Dialog} title=${t("go.date")} onClose=${done}>${(/** @type {any} */ close) => html`
    <form onSubmit=${(/** @type {any} */ e) => { e.preventDefault(); picked = e.target.elements.month.value; close(); }}>
      <label class="field"><span>${t("go.month")}</span>
        <select name="month" autofocus>${dated.map((month) => html`<option key=${month} value=${month}>${monthName(month)}</option>`)}</select></label>
      <footer><button type="button" class="quiet" onClick=${close}>${t("cancel")}</button><button class="main">${t("go")}</button></footer>
    </form>`}<//>`);
  return picked;
}
