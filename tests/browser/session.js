// Sessions: one that ends under an open page, links that were used, many tabs.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Home, enter, findings, holds, launch, look, pictures } from "./world.js";

let browser;
let home;

before(async () => {
  browser = await launch();
  home = new Home();
  await home.command(["init", "--family", "Berger", "--person", "Anna", "--device", "laptop", "--no-recovery"]);
  await home.serve();
  const page = await look(browser);
  await page.goto(await home.link());
  await page.locator(".top .add").click();
  await page.locator('dialog input[type="file"]').first().setInputFiles(await pictures(browser, 2));
  await photos(page);
  await page.context().close();
});
after(async () => { if (browser) await browser.close(); if (home) await home.end(); });

const photos = (page) => page.waitForFunction(() => document.querySelectorAll(".cell .look img.there").length === 2);

test("a session that ends locks its open page, with every dialog on it, and a new link opens it again", async () => {
  const page = await look(browser);
  await page.goto(`${home.ready.gallery}/`);
  await page.getByText("This page is locked").waitFor();
  // A link that is pasted into the locked tab changes only what is behind the #.
  await page.goto(await home.link());
  await photos(page);
  await page.locator(".top .add").click();
  await page.getByRole("dialog").waitFor();
  await home.command(["sessions", "revoke"]);
  await page.getByText("This page is locked").waitFor();
  assert.equal(await page.locator("img:not([src^='/assets/'])").count(), 0, "no photo stays in sight");
  assert.equal(await page.getByRole("dialog").count(), 0);
  assert.equal(await page.getByText("The node does not answer").count(), 0);
  await page.goto(await home.link());
  await photos(page);
  await holds(page, assert);
  await page.context().close();
});

test("who is let in already comes by a used link too", async () => {
  const link = await home.link();
  const first = await look(browser);
  await first.goto(link);
  await photos(first);
  await first.goto("about:blank");
  await first.goto(link);
  await photos(first);
  assert.ok(!first.url().includes("#t="));
  const other = await look(browser);
  await other.goto(link);
  await other.getByText("This page is locked").waitFor();
  for (const one of [first, other]) { await holds(one, assert); await one.context().close(); }
});

test("eight tabs and more are no too many: who is not looked at listens again when it is, and has missed nothing", async () => {
  const first = await look(browser);
  await first.goto(await home.link());
  await photos(first);
  const hide = (page, hidden) => page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  await hide(first, true);
  // A browser has six connections to one address, for all of its tabs.
  for (let nth = 0; nth < 8; nth += 1) {
    const tab = await first.context().newPage();
    await tab.goto(`${home.ready.gallery}/photos`);
    await photos(tab);
    await hide(tab, true);
  }
  const [one] = await pictures(browser, 1, 5);
  const path = join(home.folder, one.name);
  writeFileSync(path, one.buffer);
  await home.command(["import", path]);
  await hide(first, false);
  await first.waitForFunction(() => document.querySelectorAll(".cell .look img.there").length === 3);
  await holds(first, assert);
  await first.context().close();
});

test("the settings name who is let in, end one session or all, and say how a phone gets in", async () => {
  const [page, other] = [await look(browser), await look(browser)];
  await home.command(["sessions", "revoke"]);
  for (const one of [other, page]) await enter(one, home);
  await page.goto(`${home.ready.gallery}/settings`);
  const ends = page.getByRole("button", { name: /^End: / });
  await ends.nth(1).waitFor();
  assert.equal(await ends.count(), 2);
  await page.getByText("heirloom serve --gallery 0.0.0.0:8443 --lan-gallery").waitFor();
  assert.deepEqual(await findings(page), []);
  // Which is whose is told by when it began: the other one is older.
  const listed = (await home.command(["sessions", "list"])).filter((line) => line.type === "session");
  const older = listed.findIndex((one) => one.made === listed.map((each) => each.made).sort()[0]);
  await ends.nth(older).click();
  await page.waitForFunction(() => [...document.querySelectorAll("button")].filter((one) => /^End: /.test(one.getAttribute("aria-label") || "")).length === 1);
  await other.getByText("This page is locked").waitFor();
  await page.getByRole("button", { name: "Lock everybody out" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Lock everybody out" }).click();
  await page.getByText("This page is locked").waitFor();
  for (const one of [page, other]) { await holds(one, assert); await one.context().close(); }
});
