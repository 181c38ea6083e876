// What is offered follows from what one may: an album that somebody else manages, photos whose original is elsewhere.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Home, PATIENCE, findings, holds, launch, look, pair, pictures } from "./world.js";

let browser;
let anna;
let ben;
/** Their pages. */
let a;
let b;
/** The files that Anna added, by name. */
let made;
/** The album's id on both devices. */
let album;

before(async () => {
  browser = await launch();
  [anna, ben] = [new Home(), new Home()];
  await anna.command(["init", "--family", "Berger", "--person", "Anna", "--device", "laptop", "--no-recovery"]);
  await Promise.all([anna.serve(), ben.serve()]);
  await pair(anna, ["--person", "Ben"], ben, "tablet");
  // The tablet keeps small pictures alone, and fetches what is looked at.
  await ben.command(["device", "policy", "tablet", "cache", "--limit", "1GB"]);
  made = await pictures(browser, 3);
  for (const one of made) writeFileSync(join(anna.folder, one.name), one.buffer);
  await anna.command(["import", "--album", "Summer", ...made.map((one) => join(anna.folder, one.name))]);
  await anna.command(["share", "Summer", "Ben", "--role", "viewer"]);
  [a, b] = [await look(browser), await look(browser)];
  await a.goto(await anna.link());
  await b.goto(await ben.link());
  album = (await anna.command(["album", "list"])).find((line) => line.name === "Summer").id;
  await b.goto(`${ben.ready.gallery}/albums/${album}`);
  await b.waitForFunction(() => document.querySelectorAll(".cell .look img.there").length === 3);
});
after(async () => {
  if (browser) await browser.close();
  for (const home of [anna, ben]) if (home) await home.end();
});

/** Ben's photos as his page knows them. */
const known = () => b.evaluate(async () => {
  const { months } = await (await fetch("/api/v1/timeline")).json();
  const all = await Promise.all(months.map(async ({ m }) => (await (await fetch(`/api/v1/month/${m}`)).json()).assets));
  return all.flat().filter((one) => !one.gone);
});
const dialog = (page) => page.getByRole("dialog");
const button = (page, name) => page.getByRole("button", { name, exact: true });

test("an original that is elsewhere is fetched before it is saved, whole, and what nobody in reach has is said", async () => {
  const elsewhere = (await known()).filter((one) => !one.h1);
  assert.equal(elsewhere.length, 3, "no original is on the tablet");
  const [wanted, looked, lost] = elsewhere;
  const choose = async (id) => {
    await b.locator(`.cell[data-id="${id}"]`).hover();
    await b.locator(`.cell[data-id="${id}"] .check`).click();
  };
  await choose(wanted.id);
  const saved = b.waitForEvent("download");
  await button(b, "Download the original").click();
  const file = await saved;
  assert.ok(readFileSync(await file.path()).equals(made.find((one) => one.name === wanted.n).buffer), "byte for byte");
  assert.deepEqual((await known()).filter((one) => one.h1).map((one) => one.id), [wanted.id]);
  await b.keyboard.press("Escape");

  // Who looks at one for a while gets its original too, and hears from where.
  await b.evaluate(() => {
    window.said = [];
    new MutationObserver(() => { for (const one of document.querySelectorAll(".viewer-bottom .chip")) window.said.push(one.textContent); }).observe(document.body, { childList: true, subtree: true, characterData: true });
  });
  await b.locator(`.cell[data-id="${looked.id}"] .look`).click();
  await b.locator(".viewer.ready").waitFor();
  const until = Date.now() + PATIENCE;
  while (!(await known()).find((one) => one.id === looked.id).h1) {
    assert.ok(Date.now() < until, "the original comes");
    await new Promise((done) => setTimeout(done, 200));
  }
  await b.waitForFunction(() => window.said.some((text) => /Looking for the original|Original from laptop/.test(text)));
  await b.keyboard.press("Escape");
  await b.locator(".viewer-top").waitFor({ state: "detached" });

  anna.node.kill("SIGTERM");
  await new Promise((done) => anna.node.once("exit", done));
  const downloads = [];
  b.on("download", (one) => downloads.push(one));
  await choose(lost.id);
  await button(b, "Download the original").click();
  await b.locator(".notice").getByText(/No other device answers/).waitFor();
  assert.equal(downloads.length, 0, "no empty file is saved");
  await b.keyboard.press("Escape");
  await anna.serve();
  await holds(b, assert);
});

test("who only looks at an album is offered nothing that would be refused, and sees who else looks", async () => {
  await b.goto(`${ben.ready.gallery}/albums/${album}`);
  await b.locator(".album-head .faces").click();
  await dialog(b).locator(".persons li").nth(1).waitFor();
  assert.match(await dialog(b).locator(".persons li").filter({ hasText: "Anna" }).textContent(), /Manages/);
  assert.match(await dialog(b).locator(".persons li").filter({ hasText: "Ben" }).textContent(), /Can view/);
  assert.equal(await dialog(b).locator("select").count(), 0);
  assert.equal(await dialog(b).getByRole("button", { name: /Stop sharing|Add somebody/ }).count(), 0);
  assert.deepEqual(await findings(b), []);
  await b.keyboard.press("Escape");
  // Of the people, too: only who looks after the family invites and removes.
  await b.goto(`${ben.ready.gallery}/people`);
  await b.getByRole("heading", { name: "Anna" }).waitFor();
  assert.equal(await b.getByRole("button", { name: "Invite somebody new" }).count(), 0);
  assert.deepEqual(await b.getByRole("button", { name: /^More for/ }).evaluateAll((all) => all.map((one) => one.getAttribute("aria-label"))), ["More for Ben"]);
  // Who does is offered it, but not for who made the album.
  await a.goto(`${anna.ready.gallery}/people`);
  await a.getByRole("button", { name: "Invite somebody new" }).waitFor();
  assert.equal(await a.getByRole("button", { name: /^More for/ }).count(), 2);
  await a.goto(`${anna.ready.gallery}/albums/${album}`);
  await button(a, "Share").click();
  await dialog(a).locator(".persons li").nth(1).waitFor();
  assert.equal(await dialog(a).locator(".persons li").filter({ hasText: "Anna" }).locator("select, button").count(), 0);
  await dialog(a).getByLabel("What Ben may do").selectOption("manager");
  await a.keyboard.press("Escape");
  // A manager who is no admin shares with who is there, and not with who made it.
  const manages = Date.now() + PATIENCE;
  while ((await ben.command(["album", "list"])).find((line) => line.name === "Summer").role !== "manager") {
    assert.ok(Date.now() < manages, "the role comes");
    await new Promise((done) => setTimeout(done, 200));
  }
  await b.goto(`${ben.ready.gallery}/albums/${album}`);
  await button(b, "Share").click();
  await dialog(b).locator(".persons li").nth(1).waitFor();
  assert.equal(await dialog(b).locator(".persons li").filter({ hasText: "Anna" }).locator("select, button").count(), 0);
  await button(b, "Add somebody").click();
  // A dialog over another has a name of its own.
  await b.getByRole("dialog", { name: "Add somebody" }).waitFor();
  await b.getByText("Everybody in the family sees it already.").waitFor();
  assert.deepEqual(await findings(b), []);
  assert.equal(await b.getByRole("button", { name: "Invite somebody new" }).count(), 0);
  for (const one of [a, b]) await holds(one, assert);
});

test("a large picture that is on its way shows the small one, and comes by itself", async () => {
  await b.goto(`${ben.ready.gallery}/albums/${album}`);
  await b.waitForFunction(() => document.querySelectorAll(".cell .look img.there").length === 3);
  await b.route("**/preview/*", (route) => route.fulfill({ status: 404, contentType: "application/json", body: "{}" }));
  await b.locator(".cell .look").first().click();
  await b.locator(".viewer.ready").waitFor();
  const looked = b.locator('.viewer .pswp__item[aria-hidden="false"]');
  await looked.getByText(/large picture is on its way/).waitFor();
  await b.waitForFunction(() => document.querySelector('.viewer .pswp__item[aria-hidden="false"] .stage img')?.naturalWidth > 0);
  await b.unroute("**/preview/*");
  const [more] = await pictures(browser, 1, 9);
  writeFileSync(join(anna.folder, more.name), more.buffer);
  await anna.command(["import", "--album", "Summer", join(anna.folder, more.name)]);
  await b.waitForFunction(() => [...document.querySelectorAll(".viewer img.pswp__img")].some((one) => one.src.includes("/preview/") && one.naturalWidth > 0 && one.closest('.pswp__item[aria-hidden="false"]')));
  await looked.getByText(/large picture is on its way/).waitFor({ state: "detached" });
  await b.keyboard.press("Escape");
  await b.locator(".viewer-top").waitFor({ state: "detached" });
  await holds(b, assert);
});

test("a small picture that was asked for too early comes by itself", async () => {
  const blank = (count) => b.waitForFunction((count) => document.querySelectorAll(".cell.blank").length === count && !document.querySelector(".cell img"), count);
  await b.route("**/thumb/*", (route) => route.fulfill({ status: 404, contentType: "application/json", body: "{}" }));
  await b.goto(`${ben.ready.gallery}/albums/${album}`);
  await blank(4);
  await b.unroute("**/thumb/*");
  // Something that moves no photo: the cells stay as they are.
  await anna.command(["caption", await b.locator(".cell").first().getAttribute("data-id"), "By the lake"]);
  await b.waitForFunction(() => document.querySelectorAll(".cell .look img.there").length === 4);
  await holds(b, assert);
});

test("who had an album that somebody deleted is told, until they have read it", async () => {
  await anna.command(["album", "delete", "Summer"]);
  const told = Date.now() + PATIENCE;
  while (!(await ben.command(["album", "list"])).some((line) => line.type === "ended")) {
    assert.ok(Date.now() < told, "the news comes");
    await new Promise((done) => setTimeout(done, 200));
  }
  await b.goto(`${ben.ready.gallery}/safety`);
  const said = b.getByText(/Anna deleted the album Summer for everybody \(.+\)\. What you added to it is in your library\./);
  await said.waitFor();
  assert.deepEqual(await findings(b), []);
  await button(b, "Do not show again").click();
  await said.waitFor({ state: "detached" });
  await holds(b, assert);
});
