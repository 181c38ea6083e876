// Search: words, and what can be said without words.
import { html, go, icon } from "./ui.js";
import { t } from "./text.js";
import { Timeline } from "./timeline.js";

const FILTERS = [["favorite", "1", "heart"], ["type", "video", "play"], ["only_here", "1", "here"]];

/** What the address asks for goes on to the node as it is. */
export function Search() {
  const asked = new URLSearchParams(location.search);
  asked.delete("photo");
  asked.delete("at");
  const query = asked.toString();
  const toggle = (/** @type {string} */ name, /** @type {string} */ value) => {
    const next = new URLSearchParams(query);
    if (next.get(name) === value) next.delete(name); else next.set(name, value);
    go(`/search${next.toString() ? `?${next}` : ""}`);
  };
  const where = () => ({ photo: new URLSearchParams(location.search).get("photo") });
  const q = asked.get("q");
  const head = html`<header class="page-head column-head">
    <h1>${q ? t("search.for", { words: q }) : t("nav.search")}</h1>
    <div class="filters" role="group" aria-label=${t("search.filters")}>${FILTERS.map(([name, value, shape]) => html`
      <button type="button" key=${name} class="filter" aria-pressed=${String(asked.get(name) === value)} onClick=${() => toggle(name, value)}>${icon(/** @type {any} */ (shape))}${t(`search.${name}`)}</button>`)}</div>
  </header>`;
  if (!query) return html`<section class="timeline">${head}<div class="empty"><div class="empty-art">${icon("search")}</div><p>${t("search.text")}</p></div></section>`;
  return html`<${Timeline} key=${query} query=${query} base=${`/search?${query}`} where=${where} head=${head} label=${t("nav.search")}
    empty=${html`<div class="empty"><h2>${t("search.none")}</h2><p>${t("search.none.text")}</p></div>`}/>`;
}
