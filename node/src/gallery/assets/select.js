// The bar that stands at the top while photos are selected.
import { html, IconButton } from "./ui.js";
import { t } from "./text.js";
import { home } from "./home.js";
import { addTo, download, favourite, purge, restore, trash } from "./deeds.js";

/** @param {{chosen: import("./months.js").Photo[], album?: any, trashed?: boolean, clear: () => void}} it */
export function SelectionBar({ chosen, album, trashed, clear }) {
  const ids = chosen.map((photo) => photo.id);
  const n = ids.length;
  const me = home.state && home.state.person;
  const mine = chosen.filter((photo) => !photo.by || photo.by === me).length;
  const then = async (/** @type {Promise<boolean>} */ deed) => { if (await deed) clear(); };
  const favoured = chosen.every((photo) => photo.f);
  return html`<div class="selection" role="toolbar" aria-label=${t("select.bar")}>
    <${IconButton} icon="close" label=${t("select.clear")} onClick=${clear}/>
    <strong>${mine < n ? t("select.mine", { n, mine }) : t("select.count", { n })}</strong>
    <span class="space"/>
    ${trashed ? html`
      <${IconButton} icon="restore" cls="own" label=${t("restore")} onClick=${() => then(restore(ids))}/>
      <${IconButton} icon="trash" cls="red own" hotkey="Delete" label=${t("purge")} onClick=${() => then(purge(ids))}/>`
    : html`
      <${IconButton} icon="albums" cls="own" hotkey="l" label=${t("album.addto")} onClick=${() => then(addTo(ids))}/>
      <${IconButton} icon="heart" hotkey="f" label=${t(favoured ? "unfavourite" : "favourite")} pressed=${favoured} onClick=${() => then(favourite(ids, !favoured))}/>
      <${IconButton} icon="download" hotkey="D" label=${t("download")} onClick=${() => download(chosen)}/>
      <${IconButton} icon="trash" cls="own" hotkey="Delete" label=${t("remove")} onClick=${() => then(trash(ids, album))}/>`}
  </div>`;
}
