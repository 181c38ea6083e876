// What is known of one photo, what was said about it, and which devices keep it.
import { Component, html, icon, noticeFault, Trouble, Face, IconButton } from "./ui.js";
import { t, clean, wallTime, instant, ago, size, has, reasonText } from "./text.js";
import { act, get } from "./api.js";
import { home } from "./home.js";
import { caption, retake, sayDone } from "./deeds.js";

export class Details extends Component {
  state = { told: null, fault: null, sends: false };
  stop = new AbortController();
  componentDidMount() {
    this.load();
    this.forget = home.on("changed", () => this.load());
  }
  componentWillUnmount() { this.stop.abort(); if (this.forget) this.forget(); }
  async load() {
    try {
      const told = await get(`/api/v1/asset/${this.props.id}`, this.stop.signal);
      if (!this.stop.signal.aborted) this.setState({ told, fault: null });
    } catch (fault) { if (!this.stop.signal.aborted) this.setState({ fault }); }
  }
  /** @param {any} event */
  async comment(event) {
    event.preventDefault();
    const field = event.target.elements.text;
    const text = field.value.trim();
    if (!text) return;
    this.setState({ sends: true });
    try {
      await act("comment", { id: this.props.id, text });
      field.value = "";
      await this.load();
    } catch (fault) { noticeFault(fault); }
    this.setState({ sends: false });
  }
  render() {
    const { told, fault, sends } = /** @type {any} */ (this.state);
    const asset = told && (told.asset || told);
    return html`<aside class="details" aria-label=${t("details")}>
      <header><h2>${t("details")}</h2><${IconButton} icon="close" label=${t("details.close")} onClick=${this.props.close}/></header>
      ${fault && html`<${Trouble} fault=${fault} retry=${() => this.load()}/>`}
      ${!told && !fault && html`<p class="waiting">${t("waiting")}</p>`}
      ${asset && html`<div class="details-in">
        ${this.caption(asset)}
        ${facts(asset, told, home.state?.limited ? null : async () => { if (await retake(asset)) this.load(); })}
        ${this.tags(asset)}
        ${kept(told, asset)}
        ${this.comments(told, sends)}
      </div>`}
    </aside>`;
  }
  /** @param {any} asset */
  caption(asset) {
    const change = async () => { if (await caption(asset.id, asset.caption || "") !== undefined) this.load(); };
    return html`<div class="caption">${asset.caption ? html`<p>${clean(asset.caption, 4000)}</p>` : html`<p class="dim">${t("caption.none")}</p>`}
      ${!home.state?.limited && html`<${IconButton} icon="edit" label=${t("caption.edit")} onClick=${change}/>`}</div>`;
  }
  /** Words that somebody found it by. @param {any} asset */
  tags(asset) {
    const all = asset.tags || [];
    const may = !home.state?.limited;
    if (!all.length && !may) return null;
    const change = async (/** @type {any} */ how) => {
      try { sayDone(await act("tag", { ids: [asset.id], ...how })); home.changed([]); await this.load(); } catch (fault) { noticeFault(fault); }
    };
    const add = (/** @type {any} */ event) => {
      event.preventDefault();
      const field = event.target.elements.tag;
      const tag = field.value.trim();
      field.value = "";
      if (tag) change({ add: [tag] });
    };
    return html`<section class="tags"><h3>${t("details.tags")}</h3>
      ${all.length > 0 && html`<ul>${all.map((/** @type {string} */ tag) => html`<li key=${tag}><span>${clean(tag, 80)}</span>
        ${may && html`<${IconButton} icon="close" label=${t("tag.remove", { tag: clean(tag, 80) })} onClick=${() => change({ remove: [tag] })}/>`}</li>`)}</ul>`}
      ${may && html`<form onSubmit=${add}><label class="field"><span class="unseen">${t("tag.add")}</span><input name="tag" maxlength="60" autocomplete="off" placeholder=${t("tag.add")}/></label></form>`}</section>`;
  }
  /** @param {any} told @param {boolean} sends */
  comments(told, sends) {
    const all = told.comments || [];
    return html`<section class="comments"><h3>${t("comments")}</h3>
      ${all.length > 0 && html`<ul>${all.map((/** @type {any} */ one) => html`<li key=${one.id || one.at + one.text}>
        <${Face} name=${one.by || one.person_name || one.person} small/><div><p><strong>${clean(one.by || one.person_name || one.person, 60)}</strong> <small>${ago(one.at)}</small></p>
        <p>${clean(one.text, 4000)}</p></div></li>`)}</ul>`}
      <form onSubmit=${(/** @type {any} */ e) => this.comment(e)}>
        <label class="field"><span class="unseen">${t("comment.label")}</span><textarea name="text" rows="2" maxlength="4000" placeholder=${t("comment.label")}/></label>
        <button class="quiet" disabled=${sends}>${t("comment.send")}</button></form></section>`;
  }
}

/** @param {string} label @param {any} value @param {any} [more] */
const fact = (label, value, more) => (value ? html`<div><dt>${label}</dt><dd>${value}${more ? html`<small>${more}</small>` : null}</dd></div>` : null);

/** @param {any} asset @param {any} told @param {null | (() => void)} change puts the time right */
function facts(asset, told, change) {
  const source = asset.taken_source && has(`source.${asset.taken_source}`) ? t(`source.${asset.taken_source}`) : asset.taken_source;
  const { make = "", model = "" } = asset.camera || {};
  const camera = clean((model || "").toLowerCase().startsWith((make || "").split(" ")[0].toLowerCase()) ? model || "" : [make, model].filter(Boolean).join(" "), 120);
  const pixels = asset.width && asset.height ? `${asset.width} \u00d7 ${asset.height}` : "";
  const where = asset.place ? `${asset.place.lat.toFixed(4)}\u00b0, ${asset.place.lon.toFixed(4)}\u00b0` : "";
  const zone = asset.offset ? `UTC${asset.offset}` : "";
  return html`<dl>
    ${fact(t("details.taken"), html`${asset.taken ? wallTime(asset.taken) : t("timeline.undated")}${change && html`<${IconButton} icon="edit" label=${t("retake")} onClick=${change}/>`}`, [zone, source].filter(Boolean).join(" \u00b7 "))}
    ${fact(t("details.place"), where)}
    ${fact(t("details.camera"), camera)}
    ${fact(t("details.file"), clean(asset.name, 200), [pixels, size(asset.bytes)].filter(Boolean).join(" \u00b7 "))}
    ${fact(t("details.added"), clean(told.added_by || asset.by, 80), told.added_at ? instant(told.added_at) : "")}
    ${fact(t("details.albums"), (asset.albums || []).map((/** @type {any} */ name) => clean(name, 80)).join(", "))}
    ${asset.preview === "none" && fact(t("details.nopreview"), asset.preview_reason ? reasonText(asset.preview_reason) : t("viewer.nopreview"))}
  </dl>`;
}

/** The answer to: is this photo safe? @param {any} told @param {any} asset */
function kept(told, asset) {
  const devices = told.kept_on || [];
  const alone = devices.length === 1 && devices[0];
  // Who merely says so keeps nothing safe; the node counts those who have shown it.
  return html`<section class=${`kept ${told.safe ? "good" : "warn"}`}>
    <h3>${icon(told.safe ? "safe" : "here")}${t("kept", { n: devices.length || asset.copies || 0 })}</h3>
    <ul>${devices.map((/** @type {any} */ one) => html`<li key=${one.device}><span>${clean(one.name, 60)}</span>
      <small>${one.this ? t("kept.this") : one.proved && one.proved_at ? t("kept.proved", { when: ago(one.proved_at) }) : t("kept.told")}</small></li>`)}</ul>
    ${alone && html`<p class="dim">${alone.this ? t("kept.alone") : t("kept.alone.other", { name: clean(alone.name, 60) })}</p>`}
    ${!told.safe && devices.length > 1 && html`<p class="dim">${t("kept.wanted", { n: told.copies_wanted })}</p>`}
  </section>`;
}
