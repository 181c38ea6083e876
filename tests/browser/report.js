// What is dropped and picked, and what is said of it in the end; what comes from elsewhere while one looks.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Home, findings, holds, launch, look, pictures } from "./world.js";

let browser;
let home;
let state;

before(async () => {
  browser = await launch();
  home = new Home();
  await home.command(["init", "--family", "Berger", "--person", "Anna", "--device", "laptop", "--no-recovery"]);
  await home.serve();
  const page = await look(browser);
  await page.goto(await home.link());
  await page.getByText("Add your first photos").waitFor();
  state = await page.context().storageState();
  await page.context().close();
});
after(async () => { if (browser) await browser.close(); if (home) await home.end(); });

const photos = (page, count) => page.waitForFunction((count) => document.querySelectorAll(".cell .look img.there").length === count, count);

test("what is dropped is added, and what is none of it is told by its reason, in German too", async () => {
  const page = await look(browser, { locale: "de-DE", storageState: state });
  await page.goto(`${home.ready.gallery}/photos`);
  const [one] = await pictures(browser, 1);
  const files = [
    { name: one.name, type: "image/jpeg", bytes: [...one.buffer] },
    { name: "notes.txt", type: "text/plain", bytes: [...Buffer.from("eggs, milk, bread and some more words\n")] },
    { name: "empty.jpg", type: "image/jpeg", bytes: [] },
    { name: "broken.jpg", type: "image/jpeg", bytes: [...Buffer.from("this is no picture whatever its name says \0\x01\x02")] },
  ];
  await page.evaluate((files) => {
    const dropped = new DataTransfer();
    for (const { name, type, bytes } of files) dropped.items.add(new File([new Uint8Array(bytes)], name, { type }));
    for (const kind of ["dragenter", "dragover", "drop"]) document.body.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: dropped }));
  }, files);
  await photos(page, 1);
  const card = page.locator(".card");
  await card.getByText("2 Fotos hinzugef\u00fcgt").waitFor();
  // A photo that is damaged is kept as it is, and told of.
  await card.getByText("Hinzugef\u00fcgt, aber nicht zu sehen: besch\u00e4digt").waitFor();
  const folds = card.locator(".outcomes > li > button");
  assert.deepEqual((await folds.allTextContents()).map((text) => text.replace(/\d+$/, "")).sort(), [
    "Ausgelassen: ein Text", "Ausgelassen: eine leere Datei", "Hinzugef\u00fcgt, aber nicht zu sehen: besch\u00e4digt", "Hinzugef\u00fcgt"].sort());
  await folds.filter({ hasText: "Text" }).click();
  await card.getByText("notes.txt").waitFor();
  assert.equal(await card.getByText("broken.jpg").count(), 0);
  assert.deepEqual(await findings(page), []);
  const saved = page.waitForEvent("download");
  await card.getByRole("button", { name: "Bericht speichern" }).or(card.getByRole("button", { name: /Bericht/ })).first().click();
  assert.equal((await saved).suggestedFilename(), "heirloom-report.txt");
  // What the picker offers is what can be taken from a browser; a sidecar lies beside its photo, in a folder of this computer.
  await page.locator(".top .add").click();
  const accept = await page.locator('dialog input[type="file"]').first().getAttribute("accept");
  assert.doesNotMatch(accept, /zip|json|xmp/);
  await page.getByText("Aus Google Takeout oder einem anderen Ordner").click();
  const takeout = join(home.folder, "Takeout");
  mkdirSync(takeout);
  const [other] = await pictures(browser, 1, 4);
  writeFileSync(join(takeout, "lake.jpg"), other.buffer);
  writeFileSync(join(takeout, "lake.jpg.json"), JSON.stringify({ title: "lake.jpg", description: "At the lake", photoTakenTime: { timestamp: "1343822400" } }));
  await page.getByLabel(/^Aus Google Takeout/).fill(takeout);
  await page.getByRole("dialog").getByRole("button", { name: "Hinzuf\u00fcgen", exact: true }).click();
  await photos(page, 2);
  await page.getByRole("button", { name: /At the lake/ }).or(page.getByRole("link", { name: /At the lake/ })).waitFor();
  await page.locator(".card").getByText("Deine Bibliothek: 1 Foto, nur du siehst es").waitFor();
  // What was removed stays so, and the report does not fold it under what is there.
  const lake = (await home.command(["list"])).find((one) => one.name === "lake.jpg");
  await home.command(["trash", lake.id]);
  await photos(page, 1);
  await page.locator(".top .add").click();
  await page.getByText("Aus Google Takeout oder einem anderen Ordner").click();
  await page.getByLabel(/^Aus Google Takeout/).fill(takeout);
  await page.getByRole("dialog").getByRole("button", { name: "Hinzuf\u00fcgen", exact: true }).click();
  await page.locator(".card").getByText("Schon da: es wurde entfernt; hol es unter").waitFor();
  await holds(page, assert);
  await page.context().close();
});

test("what was refused is said in German: an error of the node, with what is safe", async () => {
  const page = await look(browser, { locale: "de-DE", storageState: state });
  await home.command(["album", "create", "Sommer"]);
  await page.goto(`${home.ready.gallery}/albums`);
  await page.getByRole("button", { name: "Neues Album" }).click();
  await page.getByLabel("Name des Albums").fill("sommer");
  await page.getByRole("dialog").getByRole("button", { name: "Anlegen" }).or(page.getByRole("dialog").locator("button.main")).first().click();
  await page.locator(".notice").getByText(/schon vergeben oder nicht eindeutig/).waitFor();
  await holds(page, assert);
  await page.context().close();
});

test("what the settings cannot take is said in German, where it was typed", async () => {
  const page = await look(browser, { locale: "de-DE", storageState: state });
  await page.goto(`${home.ready.gallery}/settings`);
  const dialog = page.getByRole("dialog");
  const row = (title) => page.locator(".setting").filter({ has: page.getByRole("heading", { name: title, exact: true }) }).getByRole("button");
  const refused = async (open, typed, yes, said) => {
    await open.click();
    for (const [text, told] of typed.map((one, nth) => [one, said[nth]])) {
      await dialog.getByRole("textbox").fill(text);
      await dialog.getByRole("button", { name: yes, exact: true }).click();
      await dialog.getByRole("alert").getByText(told).waitFor();
      // The node's own words are there for who asks for them, and nowhere else.
      assert.equal(await dialog.locator(".trouble .dim").count(), 0);
    }
    await dialog.getByRole("button", { name: "Abbrechen" }).click();
    await dialog.waitFor({ state: "detached" });
  };
  writeFileSync(join(home.folder, "no-folder"), "");
  await refused(row("Einen Ordner beobachten"), [join(home.folder, "nowhere"), join(home.folder, "no-folder"), home.path], "Beobachten",
    [/Diesen Ordner gibt es nicht/, /k\u00f6nnen keine Fotos kommen/, /geh\u00f6rt Heirloom selbst/]);
  await refused(row("Exportieren"), ["Fotos", join(home.path, "out")], "Exportieren",
    [/mit seinem ganzen Pfad/, /geh\u00f6rt Heirloom selbst/]);
  await refused(page.getByRole("button", { name: "\u00c4ndern" }).first(), ["schnell"], "Speichern", [/keine Geschwindigkeit/]);
  await holds(page, assert);
  await page.context().close();
});

test("photos that come while one is farther down move nothing: a pill counts them, and leads to them", async () => {
  const folder = join(home.folder, "many");
  mkdirSync(folder);
  const many = await pictures(browser, 40, 50);
  many.forEach((one, nth) => writeFileSync(join(folder, `IMG_20${String(10 + (nth % 9))}0${1 + (nth % 9)}12_120310.${nth}.jpg`.replace(/\.(\d+)\.jpg$/, "_$1.jpg")), one.buffer));
  await home.command(["import", folder]);
  const page = await look(browser, { storageState: state, viewport: { width: 1000, height: 600 } });
  await page.goto(`${home.ready.gallery}/photos`);
  await page.locator(".cell .look img.there").first().waitFor();
  await page.locator(".scroll").evaluate((box) => { box.scrollTop = 900; });
  await page.waitForFunction(() => document.querySelector(".scroll").scrollTop > 800 && new URLSearchParams(location.search).get("at"));
  const sight = () => page.evaluate(() => {
    const box = document.querySelector(".scroll").getBoundingClientRect();
    const cell = [...document.querySelectorAll(".cell[data-id]")].map((one) => [one.dataset.id, one.getBoundingClientRect().top]).filter(([, top]) => top >= box.top).sort((a, b) => a[1] - b[1])[0];
    return cell;
  });
  const before = await sight();
  const fresh = join(home.folder, "IMG_20250512_120310.jpg");
  const [one] = await pictures(browser, 1, 99);
  writeFileSync(fresh, one.buffer);
  await home.command(["import", fresh]);
  const pill = page.getByRole("button", { name: "1 new photo" });
  await pill.waitFor();
  const after = await page.evaluate((id) => document.querySelector(`.cell[data-id="${id}"]`).getBoundingClientRect().top, before[0]);
  assert.ok(Math.abs(after - before[1]) < 1, `${before[1]} ${after}`);
  await pill.click();
  await pill.waitFor({ state: "detached" });
  assert.equal(await page.evaluate(() => document.querySelector(".scroll").scrollTop), 0);
  // Where one was is in the address: it is there again after a look elsewhere.
  await page.locator(".scroll").evaluate((box) => { box.scrollTop = 900; });
  await page.waitForFunction(() => /at=\d{4}-\d{2}/.test(location.search));
  await page.getByRole("link", { name: "Settings" }).click();
  await page.getByRole("heading", { name: "Settings" }).waitFor();
  await page.goBack();
  await page.waitForFunction(() => document.querySelector(".scroll")?.scrollTop > 300);
  await holds(page, assert);
  await page.context().close();
});

test("a photo is enlarged to where one points, and is whole again", async () => {
  const page = await look(browser, { storageState: state });
  await page.goto(`${home.ready.gallery}/photos`);
  await page.locator(".cell .look img.there").first().waitFor();
  await page.locator(".cell .look").first().click();
  await page.locator(".viewer.ready").waitFor();
  // Not the small picture that stands in for it.
  const shown = '.viewer .pswp__item[aria-hidden="false"] .pswp__img:not(.pswp__img--placeholder)';
  await page.locator(shown).waitFor();
  const wide = (enough) => page.waitForFunction(enough, [shown, whole]);
  const whole = (await page.locator(shown).boundingBox()).width;
  await page.keyboard.press("z");
  await wide(([shown, whole]) => document.querySelector(shown).getBoundingClientRect().width > whole * 1.5);
  await page.keyboard.press("z");
  await wide(([shown, whole]) => Math.abs(document.querySelector(shown).getBoundingClientRect().width - whole) < 2);
  const box = await page.locator(shown).boundingBox();
  await page.mouse.move(box.x + box.width / 4, box.y + box.height / 4);
  await page.mouse.wheel(0, -400);
  await wide(([shown, whole]) => document.querySelector(shown).getBoundingClientRect().width > whole * 1.1);
  await page.keyboard.press("Escape");
  await page.locator(".viewer-top").waitFor({ state: "detached" });
  await holds(page, assert);
  await page.context().close();
});

test("keys and the bar do the same to a selection", async () => {
  const page = await look(browser, { storageState: state });
  await page.goto(`${home.ready.gallery}/photos`);
  await page.locator(".cell .look img.there").first().waitFor();
  await page.locator(".cell").first().hover();
  await page.locator(".cell .check").first().click();
  await page.getByText("1 selected").first().waitFor();
  await page.keyboard.press("f");
  await page.locator(".cell").first().locator(".badge.heart").waitFor();
  await page.locator(".cell").first().hover();
  await page.locator(".cell .check").first().click();
  await page.keyboard.press("l");
  await page.getByRole("dialog", { name: "Add to an album" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.keyboard.press("Delete");
  await page.getByRole("dialog", { name: "Remove this photo?" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  const saved = page.waitForEvent("download");
  await page.keyboard.press("Shift+D");
  await saved;
  await page.keyboard.press("Escape");
  await page.getByRole("toolbar").waitFor({ state: "detached" });
  await holds(page, assert);
  await page.context().close();
});
