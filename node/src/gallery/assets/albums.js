// Albums as cards, and one album: its photos, its people, what may be done with it.
import { Component, html, icon, go, Link, Loading, IconButton, prompt, notice, noticeFault, layer, Dialog, Face, Trouble } from "./ui.js";
import { t, albumName, monthShort } from "./text.js";
import { act, get, rows } from "./api.js";
import { home } from "./home.js";
import { Timeline } from "./timeline.js";
import { adding } from "./add.js";
import { Sharing } from "./share.js";
import { end } from "./deeds.js";

/** The first photo of an album, as its cover. */
class Cover extends Component {
  state = { id: null };
  stop = new AbortController();
  componentDidMount() { this.find().catch(() => {}); }
  componentWillUnmount() { this.stop.abort(); }
  async find() {
    const query = `album=${this.props.id}`;
    const told = await get(`/api/v1/timeline?${query}`, this.stop.signal);
    for (const { m } of told.months.slice(0, 2)) {
      const list = await get(`/api/v1/month/${m}?${query}`, this.stop.signal);
      const one = list.assets.find((/** @type {any} */ photo) => photo.pv === "made");
      if (one) { this.setState({ id: one.id }); return; }
    }
  }
  render() {
    const { id } = /** @type {any} */ (this.state);
    return html`<span class="cover">${id ? html`<img src=${`/thumb/${id}`} alt="" loading="lazy"/>` : icon("photos")}</span>`;
  }
}

export class Albums extends Component {
  state = { stamp: 0 };
  componentDidMount() { this.forget = home.on("changed", () => this.setState({ stamp: this.state.stamp + 1 })); }
  componentWillUnmount() { if (this.forget) this.forget(); }
  async make() {
    const name = await prompt({ title: t("album.new"), label: t("album.name"), yes: t("create") });
    if (!name) return;
    try { go(`/albums/${(await act("album", { do: "create", name })).album}`); } catch (fault) { noticeFault(fault); }
  }
  render() {
    return html`<div class="page"><header class="page-head"><h1>${t("nav.albums")}</h1><span class="space"/>
        <button type="button" class="quiet own" onClick=${() => this.make()}>${icon("plus")}${t("album.new")}</button></header>
      <${Loading} stamp=${this.state.stamp} from=${(/** @type {any} */ stop) => rows("album", { do: "list" }, "album", stop)}>${(/** @type {any[]} */ albums) => html`
        <ul class="shelf">${albums.map((one) => html`<li key=${one.id}><${Link} href=${`/albums/${one.id}`} class="album">
          <${Cover} id=${one.id} key=${`${one.id}${one.assets}`}/>
          <strong>${albumName(one)}</strong>
          <span class="dim">${t("photos.count", { n: one.assets })}</span>
          ${one.people.length > 1 && html`<span class="faces">${one.people.slice(0, 5).map((/** @type {any} */ person) => html`<${Face} key=${person.person} name=${person.name} small/>`)}</span>`}<//></li>`)}</ul>`}<//></div>`;
  }
}

export class Album extends Component {
  state = { album: null, span: "", fault: null };
  componentDidMount() { this.load(); this.forget = home.on("changed", () => this.load()); }
  componentWillUnmount() { if (this.forget) this.forget(); this.gone = true; }
  async load() {
    try {
      const all = await rows("album", { do: "list" }, "album");
      const album = all.find((one) => one.id === this.props.id || one.id.startsWith(this.props.id));
      if (this.gone) return;
      if (!album) { this.setState({ fault: { id: "E-NOT-FOUND" } }); return; }
      this.setState({ album, fault: null });
      const told = await get(`/api/v1/timeline?album=${album.id}`);
      const months = told.months.map((/** @type {any} */ one) => one.m).filter((/** @type {string} */ name) => name !== "undated");
      const span = months.length ? [...new Set([monthShort(months[months.length - 1]), monthShort(months[0])])].join(" \u2013 ") : "";
      if (!this.gone) this.setState({ span });
    } catch (fault) { if (!this.gone && !this.state.album) this.setState({ fault }); }
  }
  async rename() {
    const { album } = /** @type {any} */ (this.state);
    const name = await prompt({ title: t("album.rename"), label: t("album.name"), value: album.name, yes: t("save") });
    if (!name || name === album.name) return;
    try { await act("album", { do: "rename", album: album.id, name }); this.load(); } catch (fault) { noticeFault(fault); }
  }
  share() {
    const { album } = /** @type {any} */ (this.state);
    return layer((done) => html`<${Dialog} title=${t("share.title", { album: albumName(album) })} onClose=${done}><${Sharing} album=${album.id}/><//>`).then(() => this.load());
  }
  menu() {
    const { album } = /** @type {any} */ (this.state);
    const manages = album.role === "manager";
    /** @type {(() => void)|null} */
    let next = null;
    const entry = (/** @type {any} */ close, /** @type {any} */ shape, /** @type {string} */ key, /** @type {() => void} */ deed) => html`
      <li><button type="button" onClick=${() => { next = deed; close(); }}>${icon(shape)}<span>${t(key)}</span></button></li>`;
    return layer((done) => html`<${Dialog} title=${albumName(album)} onClose=${done}>${(/** @type {any} */ close) => html`<ul class="choices">
      ${manages && album.use !== "library" && entry(close, "edit", "album.rename", () => this.rename())}
      ${entry(close, "trash", "album.removed", () => go(`/albums/${this.props.id}?removed=1`))}
      ${album.use === "album" && (manages ? entry(close, "trash", "album.delete", () => this.end("delete")) : entry(close, "close", "album.leave", () => this.end("leave")))}
    </ul>`}<//>`).then(() => next && next());
  }
  /** What was removed from this album and may still be in others. @param {any} album @param {string} base @param {() => any} where */
  removed(album, base, where) {
    const head = html`<header class="album-head"><${Link} href=${`/albums/${this.props.id}`} class="round" aria-label=${t("back")}>${icon("left")}<//>
      <div><h1>${t("album.removed.from", { album: albumName(album) })}</h1><p class="dim">${t("trash.head")}</p></div></header>`;
    return html`<${Timeline} key="removed" query=${`album=${album.id}&trashed=1`} base=${base} where=${where} head=${head} trashed label=${t("album.removed")}
      empty=${html`<div class="empty"><h2>${t("trash.empty")}</h2></div>`}/>`;
  }
  /** @param {"delete"|"leave"} how */
  async end(how) {
    const { album } = /** @type {any} */ (this.state);
    const ask = { title: t(`album.${how}.ask`, { album: albumName(album) }), text: t(`album.${how}.text`), yes: t(`album.${how}`) };
    try { if (await end("album", { do: how, album: album.id }, ask)) { notice(t(`album.${how}.done`)); go("/albums"); } } catch (fault) { noticeFault(fault); }
  }
  render() {
    const { album, span, fault } = /** @type {any} */ (this.state);
    if (fault) return html`<div class="page"><${Trouble} fault=${fault} retry=${() => this.load()}/></div>`;
    if (!album) return html`<p class="waiting" aria-busy="true">${t("waiting")}</p>`;
    const asked = new URLSearchParams(location.search);
    const where = () => ({ photo: new URLSearchParams(location.search).get("photo"), at: new URLSearchParams(location.search).get("at") });
    const base = `/albums/${this.props.id}`;
    if (asked.get("removed")) return this.removed(album, `${base}?removed=1`, where);
    const mayAdd = album.role !== "viewer";
    const head = html`<header class="album-head">
      <${Link} href="/albums" class="round" aria-label=${t("nav.albums")}>${icon("left")}<//>
      <div><h1>${albumName(album)}</h1><p class="dim">${[t("photos.count", { n: album.assets }), span].filter(Boolean).join(" \u00b7 ")}</p></div>
      <span class="space"/>
      ${album.people.length > 1 && html`<button type="button" class="faces own" onClick=${() => this.share()}>
        ${album.people.slice(0, 4).map((/** @type {any} */ one) => html`<${Face} key=${one.person} name=${one.name} small/>`)}<span class="unseen">${t("share.people", { n: album.people.length })}</span></button>`}
      ${mayAdd && html`<button type="button" class="quiet" onClick=${() => adding.openFor(album.id)}>${icon("plus")}<span>${t("add.short")}</span></button>`}
      ${album.role === "manager" && html`<button type="button" class="quiet own" onClick=${() => this.share()}>${icon("share")}<span>${t("share")}</span></button>`}
      <${IconButton} icon="more" cls="own" label=${t("more")} onClick=${() => this.menu()}/>
    </header>`;
    return html`<${Timeline} query=${`album=${album.id}`} base=${base} where=${where} head=${head} album=${album} label=${albumName(album)}
      empty=${html`<div class="empty"><h2>${t("album.empty")}</h2><p>${t("album.empty.text")}</p>
        ${mayAdd && html`<button type="button" class="main" onClick=${() => adding.openFor(album.id)}>${icon("plus")}${t("add")}</button>`}</div>`}/>`;
  }
}
