// What a click must not lose: words that are shown once, files that were dropped, an import whose page is left.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Home, PATIENCE, findings, holds, launch, look, pictures } from "./world.js";

/** Photos that are on this computer already. */
const OWN = 24;
let browser;
let home;
let page;
/** The words of the first minute. @type {string[]} */
let paper;

before(async () => {
  browser = await launch();
  home = new Home();
  mkdirSync(join(home.folder, "Pictures"));
  for (const [nth, one] of (await pictures(browser, OWN)).entries()) writeFileSync(join(home.folder, "Pictures", `${nth}-${one.name}`), one.buffer);
  await home.serve();
  page = await look(browser);
});
after(async () => { if (browser) await browser.close(); if (home) await home.end(); });

const button = (name) => page.getByRole("button", { name, exact: true });
const words = () => page.locator(".code-words li");
const total = (query = "") => page.evaluate(async (query) => (await (await fetch(`/api/v1/timeline${query}`)).json()).total, query);
/** Waits until a question is answered as it should be. */
async function until(what, ask) {
  const end = Date.now() + PATIENCE;
  while (!await ask()) {
    assert.ok(Date.now() < end, what);
    await new Promise((on) => setTimeout(on, 200));
  }
}
/** Chooses files to add, from wherever the page is. @param {any[]} files @param {any} opener */
async function choose(files, opener = page.locator(".top .add")) {
  await opener.click();
  await page.locator('dialog input[type="file"]').first().setInputFiles(files);
}

test("the 24 words stay on the screen when another language is chosen", async () => {
  await page.goto(await home.link());
  await page.getByLabel("Your name").fill("Anna");
  await page.getByRole("button", { name: /Start a family/ }).click();
  await button("Start a family").click();
  await words().nth(23).waitFor();
  paper = await words().allTextContents();
  await page.getByLabel("Language").selectOption("de");
  await page.getByText(/^Deine 24 W.rter$/).waitFor();
  assert.deepEqual(await words().allTextContents(), paper);
  await page.getByLabel("Sprache").selectOption("en");
  await page.getByText("Your 24 words").waitFor();
  assert.deepEqual(await words().allTextContents(), paper);
});

test("photos of this computer are all added though the page is left in the middle, and a new page says how far that is", async () => {
  await button("I have them on paper").click();
  await button("Go on without them").click();
  await page.locator("dialog").getByRole("button", { name: "Go on without them" }).click();
  const begun = page.waitForResponse((answer) => answer.url().includes("/act/import"));
  await page.getByRole("button", { name: new RegExp(`${OWN} photos on this computer`) }).click();
  await begun;
  await page.goto("about:blank");
  await page.goto(`${home.ready.gallery}/photos`);
  const work = () => page.evaluate(async () => (await (await fetch("/api/v1/imports")).json()).batches.find((one) => one.act === "import"));
  if ((await work()).waiting > 0) await page.locator(".card").getByText(/Reading \d+ of|photos added/).waitFor();
  await until("it comes to its end", async () => (await work()).done);
  const { added, error } = await work();
  assert.deepEqual([added, error, await total()], [OWN, null, OWN]);
  await holds(page, assert);
});

test("who has no words on paper is reminded until they are", async () => {
  await page.goto(`${home.ready.gallery}/safety`);
  const reminder = page.getByText(/24 recovery words are not on paper/);
  await reminder.waitFor();
  assert.deepEqual(await findings(page), []);
  await button("Check the words").click();
  await page.getByLabel("The 24 words").fill(paper.join(" "));
  await button("Check").click();
  await page.getByText("These are your words.").waitFor();
  await reminder.waitFor({ state: "detached" });
  await page.reload();
  await page.locator(".device").first().waitFor();
  assert.equal(await reminder.count(), 0);
});

/** What closes any other dialog. */
async function slip() {
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await page.mouse.click(4, 4);
}

test("new words and a code that somebody types are closed by no slip of the hand", async () => {
  await page.goto(`${home.ready.gallery}/settings`);
  await button("Make new words").click();
  await page.getByLabel("The 24 words").fill(paper.join(" "));
  await page.locator("dialog").getByRole("button", { name: "Make new words" }).click();
  await words().nth(23).waitFor();
  const all = await words().allTextContents();
  assert.notDeepEqual(all, paper);
  await slip();
  assert.deepEqual(await words().allTextContents(), all);
  assert.equal(await page.locator("dialog").getByRole("button", { name: "Close" }).count(), 0);
  assert.deepEqual(await findings(page), []);
  await button("I have them on paper").click();
  for (const field of await page.locator("dialog form .field").all()) {
    const nth = Number((await field.locator("span").textContent()).match(/\d+/)[0]);
    await field.locator("input").fill(all[nth - 1]);
  }
  await button("Check").last().click();
  await page.locator("dialog").waitFor({ state: "detached" });

  await page.goto(`${home.ready.gallery}/people`);
  await button("Invite somebody new").click();
  await page.getByLabel("Their name").fill("Ben");
  await button("Make a code").click();
  await page.locator("img.qr").waitFor();
  const code = await words().allTextContents();
  await slip();
  assert.deepEqual(await words().allTextContents(), code);
  await button("Take it back").click();
  await page.locator("dialog").waitFor({ state: "detached" });
  await holds(page, assert);
});

test("what is dropped while other files are finished, or while the node imports, is added where it was dropped", async () => {
  const { album } = (await home.command(["album", "create", "Summer"])).find((line) => line.album);
  const [first, second, third] = await pictures(browser, 3, OWN);
  await page.goto(`${home.ready.gallery}/albums`);
  let finish;
  const finished = new Promise((on) => { finish = on; });
  await page.route("**/api/v1/upload/done*", async (route) => { await finished; await route.continue(); });
  const ending = page.waitForRequest((asked) => asked.url().includes("/upload/done"));
  await choose([first]);
  await ending;
  await page.getByRole("link", { name: /Summer/ }).click();
  await choose([second], page.locator(".album-head").getByRole("button", { name: "Add", exact: true }));
  await until("the second is in the album", async () => await total(`?album=${album}`) === 1);
  finish();
  await until("both are there", async () => await total() === OWN + 2);
  await page.unrouteAll({ behavior: "wait" });

  let begin;
  const begun = new Promise((on) => { begin = on; });
  await page.route("**/api/v1/act/import*", async (route) => { await begun; await route.continue(); });
  const importing = page.waitForRequest((asked) => asked.url().includes("/act/import"));
  await page.locator(".top .add").click();
  await page.getByRole("button", { name: new RegExp(`${OWN} photos on this computer`) }).click();
  await importing;
  await choose([third], page.locator(".album-head").getByRole("button", { name: "Add", exact: true }));
  await until("the third is in the album", async () => await total(`?album=${album}`) === 2);
  begin();
  await page.locator(".card").getByText("No new photos").waitFor();
  await page.unrouteAll({ behavior: "wait" });
  assert.equal(await total(), OWN + 3);
  await holds(page, assert);
});

test("who leaves while the browser still carries files is asked, and an import of the node is stopped by its button alone", async () => {
  // What a browser asks at this event is up to it; that it is to ask is up to the page.
  const asks = () => page.evaluate(() => {
    const leaving = new Event("beforeunload", { cancelable: true });
    window.dispatchEvent(leaving);
    return leaving.defaultPrevented;
  });
  await until("nothing is carried any more", async () => !await asks());
  await page.route("**/api/v1/upload?*", () => {});
  await choose(await pictures(browser, 1, OWN + 4));
  await page.locator(".card").getByText("Reading 0 of 1").waitFor();
  assert.equal(await asks(), true);
  await page.locator(".card").getByRole("button", { name: "Stop" }).click();
  await page.locator(".card").getByText("Reading").waitFor({ state: "detached" });
  assert.equal(await asks(), false);
  await page.unrouteAll({ behavior: "ignoreErrors" });

  const before = await total();
  for (const [nth, one] of (await pictures(browser, OWN, 200)).entries()) writeFileSync(join(home.folder, "Pictures", `more-${nth}-${one.name}`), one.buffer);
  const back = page.url();
  await page.reload();
  await page.locator(".top .add").click();
  await page.getByRole("button", { name: /photos on this computer/ }).click();
  await until("some are added", async () => await total() > before);
  assert.equal(await asks(), false);
  await page.locator(".card").getByRole("button", { name: "Stop" }).click();
  const told = page.locator(".card").getByText(/photos? added/);
  await told.waitFor();
  const added = Number((await told.textContent()).match(/\d+/)[0]);
  assert.equal(await total(), before + added, "what is told is what is there");
  // Photos come before their small pictures, which take the time: it did not go on to those of all.
  const made = await page.evaluate(async () => {
    const { months } = await (await fetch("/api/v1/timeline")).json();
    const all = await Promise.all(months.map(async (one) => (await (await fetch(`/api/v1/month/${one.m}`)).json()).assets));
    return all.flat().filter((one) => one.pv === "made").length;
  });
  assert.ok(made < before + OWN, `${made}`);
  assert.equal(page.url(), back);
  await holds(page, assert);
});

test("what was removed from one album is named in its menu, and comes back", async () => {
  await page.waitForFunction(() => document.querySelectorAll(".cell .look img.there").length === 2);
  await page.locator(".cell .look").first().focus();
  await page.keyboard.press("x");
  await button("Remove").click();
  await page.getByText(/menu shows it under .Removed from this album./).waitFor();
  await page.locator("dialog").getByRole("button", { name: "Remove" }).click();
  await page.waitForFunction(() => document.querySelectorAll(".cell .look img.there").length === 1);
  await page.locator(".album-head").getByRole("button", { name: "More" }).click();
  await button("Removed from this album").click();
  await page.getByRole("heading", { name: "Removed from Summer" }).waitFor();
  await page.waitForFunction(() => document.querySelectorAll(".cell .look img.there").length === 1);
  assert.deepEqual(await findings(page), []);
  await page.locator(".cell .look").first().focus();
  await page.keyboard.press("x");
  await button("Bring back").click();
  await page.getByText("Nothing was removed").waitFor();
  await page.getByRole("link", { name: "Back", exact: true }).click();
  await page.waitForFunction(() => document.querySelectorAll(".cell .look img.there").length === 2);
  await holds(page, assert);
});

test("what is being typed into the search stays when something changes", async () => {
  await page.goto(`${home.ready.gallery}/photos`);
  await page.locator(".cell .look img.there").first().waitFor();
  const [one] = (await home.command(["list"])).filter((line) => line.type === "asset");
  await page.keyboard.press("/");
  await page.keyboard.type("mount");
  const told = page.waitForResponse((answer) => answer.url().endsWith("/act/status"));
  await home.command(["caption", one.id, "mountain"]);
  await told;
  await page.evaluate(() => new Promise((on) => requestAnimationFrame(() => requestAnimationFrame(on))));
  await page.keyboard.type("ain");
  assert.equal(await page.locator(".find input").inputValue(), "mountain");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll(".cell .look img.there").length === 1);
  assert.equal(await page.locator(".find input").inputValue(), "mountain");
  await holds(page, assert);
});

test("a change of a photo takes no focus, and draws nothing anew that is as it was", async () => {
  await page.goto(`${home.ready.gallery}/photos`);
  const cell = page.locator(".cell").nth(4);
  await cell.locator("img.there").waitFor();
  const id = await cell.getAttribute("data-id");
  await cell.locator(".look").focus();
  await cell.evaluate((node) => { node.classList.add("marked"); });
  await home.command(["favorite", id]);
  await page.locator(`.cell[data-id="${id}"] .badge.heart`).waitFor();
  const at = () => page.evaluate(() => { const now = document.activeElement.closest(".cell"); return now && now.dataset.id; });
  assert.equal(await at(), id);
  assert.equal(await page.locator(`.cell.marked[data-id="${id}"]`).count(), 1, "the cell is the same");
  await holds(page, assert);
});

test("photos that come before the one that has the focus leave it the focus, also while others are on their way", async () => {
  await page.goto(`${home.ready.gallery}/photos`);
  await page.locator(".cell img.there").first().waitFor();
  await page.locator(".cell .look").first().focus();
  // The last of all: whatever comes stands before it.
  await page.keyboard.press("End");
  await page.waitForFunction(() => document.activeElement.closest(".cell")?.querySelector("img.there"));
  const at = () => page.evaluate(() => { const now = document.activeElement.closest(".cell"); return now && now.dataset.id; });
  const [id, place] = [await at(), await page.evaluate(() => Number(document.activeElement.closest(".cell").dataset.photo))];
  // Whatever the photo that has the focus was in the meantime, however short.
  await page.evaluate(() => {
    window.had = new Set();
    const look = () => window.had.add(document.activeElement.closest(".cell")?.dataset.id || document.activeElement.tagName);
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ["data-id"] });
  });
  const paths = (await pictures(browser, 3, OWN + 9)).map((one, nth) => { const path = join(home.folder, `late-${nth}-${one.name}`); writeFileSync(path, one.buffer); return path; });
  const before = await total();
  // A table that is older, when it comes, than the months that are asked for after it.
  let held = false;
  await page.route("**/api/v1/timeline", async (route) => {
    if (held) { await route.continue(); return; }
    held = true;
    const answer = await route.fetch();
    for (const path of paths.slice(1)) await home.command(["import", path]);
    await until("the others have come", async () => await total() === before + 3);
    await route.fulfill({ response: answer });
  });
  await home.command(["import", paths[0]]);
  await page.getByText(`${before + 3} photos`).first().waitFor({ state: "attached" });
  assert.equal(held, true);
  await page.unrouteAll({ behavior: "wait" });
  assert.equal(await at(), id);
  assert.equal(await page.evaluate(() => Number(document.activeElement.closest(".cell").dataset.photo)), place + 3);
  assert.deepEqual(await page.evaluate(() => [...window.had]), [id]);
  await page.setViewportSize({ width: 900, height: 700 });
  await page.waitForFunction(() => document.querySelector(".scroll").clientWidth < 900);
  await page.evaluate(() => new Promise((on) => requestAnimationFrame(() => requestAnimationFrame(on))));
  assert.equal(await at(), id);
  await page.keyboard.press("Enter");
  await page.locator(".viewer.ready").waitFor();
  assert.match(page.url(), new RegExp(id));
  await holds(page, assert);
});
