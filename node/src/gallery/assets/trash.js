// What was removed and can still be brought back.
import { html } from "./ui.js";
import { t } from "./text.js";
import { Timeline } from "./timeline.js";

/** The trash, as a timeline of its own. */
export function Trash() {
  const where = () => ({ photo: new URLSearchParams(location.search).get("photo") });
  const head = html`<header class="page-head"><div><h1>${t("nav.trash")}</h1><p class="dim">${t("trash.head")}</p></div></header>`;
  return html`<${Timeline} query="trashed=1" base="/trash" trashed where=${where} head=${head} label=${t("nav.trash")}
    empty=${html`<div class="empty"><h2>${t("trash.empty")}</h2></div>`}/>`;
}
