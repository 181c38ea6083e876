// The page begins here: the way in, the frame around all screens, and which screen stands at which address.
import { Component, html, render, icon, go, Link, IconButton, Notices, Trouble, isTyping, layer, Dialog } from "./ui.js";
import { t, speak, wished, clean } from "./text.js";
import { post, whenLocked } from "./api.js";
import { home, shield } from "./home.js";
import { Photos } from "./timeline.js";
import { Adding, adding } from "./add.js";

const TABS = [["photos", "photos"], ["albums", "albums"], ["people", "people"], ["safety", "shield"]];

/** Screens that are fetched when they are looked at. @type {Record<string, () => Promise<any>>} */
const SCREENS = {
  albums: () => import("./albums.js").then((all) => all.Albums),
  album: () => import("./albums.js").then((all) => all.Album),
  people: () => import("./people.js").then((all) => all.People),
  safety: () => import("./safety.js").then((all) => all.Safety),
  search: () => import("./search.js").then((all) => all.Search),
  settings: () => import("./settings.js").then((all) => all.Settings),
  activity: () => import("./activity.js").then((all) => all.Activity),
  trash: () => import("./trash.js").then((all) => all.Trash),
  welcome: () => import("./welcome.js").then((all) => all.Welcome),
  locked: () => import("./welcome.js").then((all) => all.Locked),
};

/** A link that lets somebody in. */
const TOKEN = /^#t=([\w-]+)$/;

/** What an address shows. @returns {{name: string, id?: string}} */
function route() {
  const [, first = "", second] = location.pathname.split("/");
  if (first === "albums" && second) return { name: "album", id: second };
  if (first === "" || first === "photos" || first === "add") return { name: "photos" };
  if (first === "join") return { name: "welcome", id: "join" };
  return { name: first in SCREENS ? first : "photos" };
}

/** The words that say how safe everything is; a link to the page that says more. */
function Shield(/** @type {any} */ { status }) {
  const { tone, key, values } = shield(status);
  if (!home.reached) return html`<span class="shield bad" role="status">${icon("warn")}<span>${t("shield.lost")}</span></span>`;
  return html`<${Link} href="/safety" class=${`shield ${tone}`}>${icon(tone === "good" ? "safe" : tone === "idle" ? "shield" : "warn")}
    <span>${t(key, Object.fromEntries(Object.entries(values).map(([name, value]) => [name, typeof value === "string" ? clean(value, 40) : value])))}</span><//>`;
}

/** @param {{now: string}} it */
const Rail = ({ now }) => html`<nav class="rail" aria-label=${t("nav")}>
  <${Link} href="/photos" class="brand" aria-label="Heirloom"><img src="/assets/icon.svg" alt="" width="30" height="30"/><//>
  ${TABS.map(([name, shape]) => html`<${Link} key=${name} href=${`/${name}`} class="tab" aria-current=${now === name || (name === "albums" && now === "album") ? "page" : undefined}>
    ${icon(/** @type {any} */ (shape))}<span>${t(`nav.${name}`)}</span><//>`)}
  <span class="space"/>
  ${["activity", "trash", "settings"].map((name) => html`<${Link} key=${name} href=${`/${name}`} class="tab minor" aria-current=${now === name ? "page" : undefined}>
    ${icon(/** @type {any} */ (name))}<span>${t(`nav.${name}`)}</span><//>`)}
</nav>`;

/** What is typed stays until the address asks for something else. */
class Find extends Component {
  state = { words: this.props.asked };
  componentDidUpdate(/** @type {any} */ before) { if (before.asked !== this.props.asked) this.setState({ words: this.props.asked }); }
  /** @param {any} event */
  send(event) {
    event.preventDefault();
    const words = this.state.words.trim();
    go(words ? `/search?q=${encodeURIComponent(words)}` : "/search");
  }
  render() {
    return html`<form class="find" role="search" onSubmit=${(/** @type {any} */ e) => this.send(e)}>
      ${icon("search")}<input name="q" type="search" aria-label=${t("search.label")} placeholder=${t("search.hint")} value=${this.state.words}
        onInput=${(/** @type {any} */ e) => this.setState({ words: e.target.value })} autocomplete="off" maxlength="200"/></form>`;
  }
}

/** @param {{status: any, now: string}} it */
function Top({ status, now }) {
  return html`<header class="top"><${Find} asked=${now === "search" ? new URLSearchParams(location.search).get("q") || "" : ""}/>
    <${Shield} status=${status}/>
    <span class="narrow"><${More}/></span>
    <button type="button" class="main add" onClick=${() => adding.open()}>${icon("plus")}<span>${t("add")}</span></button>
  </header>`;
}

/** What has no place at the bottom of a phone. */
function More() {
  const open = () => layer((done) => html`<${Dialog} title=${t("more")} onClose=${done}>${(/** @type {any} */ close) => html`
    <ul class="choices">${["activity", "trash", "settings"].map((name) => html`<li key=${name}><button type="button" onClick=${() => { close(); go(`/${name}`); }}>
      ${icon(/** @type {any} */ (name))}<span>${t(`nav.${name}`)}</span></button></li>`)}</ul>`}<//>`);
  return html`<${IconButton} icon="more" label=${t("more")} onClick=${open}/>`;
}

/** The keys, for who asks. */
function showKeys() {
  const all = [["\u2190 \u2192 \u2191 \u2193", "keys.move"], ["Enter", "keys.open"], ["Esc", "keys.close"], ["X", "keys.select"], ["G", "keys.date"], ["/", "keys.search"],
    ["Space", "keys.play"], ["I", "keys.details"], ["F", "keys.favourite"], ["L", "keys.album"], ["Z", "keys.zoom"], ["Shift D", "keys.download"], ["Del", "keys.remove"], ["?", "keys.keys"]];
  return layer((done) => html`<${Dialog} title=${t("keys")} onClose=${done}>
    <dl class="keys">${all.map(([key, what]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${t(what)}</dd></div>`)}</dl><//>`);
}

class App extends Component {
  state = { ready: false, locked: false, fault: null, screen: null, shown: "", id: undefined, stamp: 0 };
  componentDidMount() {
    const again = () => this.place();
    window.addEventListener("popstate", again);
    window.addEventListener("heirloom:place", again);
    window.addEventListener("keydown", (event) => {
      if (event.defaultPrevented || isTyping(event) || event.key !== "/" || document.querySelector(".viewer")) return;
      event.preventDefault();
      /** @type {HTMLElement|null} */ (document.querySelector(".find input"))?.focus();
    });
    window.addEventListener("heirloom:language", () => this.setState({ stamp: this.state.stamp + 1 }));
    // A new link that is pasted over the open page.
    window.addEventListener("hashchange", () => { if (TOKEN.test(location.hash)) location.reload(); });
    document.documentElement.classList.toggle("phone", location.protocol === "https:");
    whenLocked(() => { if (this.state.ready && !this.state.locked) this.lock(); });
    home.on("reached", () => { if (this.state.locked && home.reached) location.reload(); });
    for (const name of ["state", "status", "reached"]) home.on(name, () => this.setState({}));
    home.add = () => adding.open();
    home.keys = () => { showKeys(); };
    this.begin();
  }
  async lock() {
    const screen = await SCREENS.locked();
    for (const one of document.querySelectorAll("dialog[open]")) /** @type {HTMLDialogElement} */ (one).close();
    this.setState({ locked: true, screen, shown: "locked" });
  }
  async begin() {
    try {
      const token = TOKEN.exec(location.hash);
      const enter = async () => {
        if (token) {
          history.replaceState(null, "", location.pathname + location.search);
          // Who was let in before needs no link, and may come by a used one.
          await post("/api/v1/session", { token: token[1] }).catch((fault) => { if (fault.status !== 403) throw fault; });
        }
        return home.load();
      };
      // Whatever comes of the second, the words to say it are there.
      const [said, entered] = await Promise.allSettled([speak(wished()), enter()]);
      for (const one of [said, entered]) if (one.status === "rejected") throw one.reason;
      const state = home.state;
      if (state.strings_locale && !localStorage.getItem("language") && wished() === "en" && !navigator.language.startsWith("en")) await speak(state.strings_locale === "de" ? "de" : "en");
      this.setState({ ready: true });
      if (state.set_up) home.start();
      this.place();
    } catch (fault) {
      const refused = /** @type {any} */ (fault).status;
      this.setState({ ready: true });
      if (refused === 401 || refused === 403) this.lock();
      else this.setState({ fault });
    }
  }
  async place() {
    if (!home.state || this.state.locked) return;
    let { name, id } = route();
    if (!home.state.set_up) name = "welcome";
    else if (name === "welcome" && !this.state.shown.startsWith("welcome")) { go("/photos", true); name = "photos"; }
    if (name === "photos" && location.pathname === "/add") { go("/photos", true); adding.open(); return; }
    const wanted = name + (id || "");
    try {
      const screen = name === "photos" ? Photos : await SCREENS[name]();
      document.title = name === "photos" || !home.state.family ? "Heirloom" : `${t(`nav.${name}`)} \u00b7 Heirloom`;
      this.setState({ screen, shown: name, id, fault: null, wanted });
    } catch (fault) { this.setState({ fault }); }
  }
  render() {
    const { screen, shown, id, fault, ready, locked, stamp } = /** @type {any} */ (this.state);
    if (fault) return html`<main class="page narrow-page"><${Trouble} fault=${fault} retry=${() => location.reload()}/></main>`;
    if (!ready || !screen) return html`<main class="page" aria-busy="true"></main>`;
    // In another language it is the same screen: what stands on it may be shown this once.
    if (locked || shown === "welcome") return html`<${screen} key=${shown} which=${id}/><${Notices}/>`;
    return html`<a class="skip" href="#main">${t("skip")}</a>
      <${Rail} now=${shown}/>
      <div class="column"><${Top} status=${home.status} now=${shown}/>
        <main id="main" tabindex="-1" class=${`at-${shown}`}><${screen} key=${`${shown}${id || ""}${stamp}`} id=${id}/></main></div>
      <${Adding}/><${Notices}/>`;
  }
}

const theme = localStorage.getItem("theme");
if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
render(html`<${App}/>`, /** @type {Element} */ (document.getElementById("app")));
