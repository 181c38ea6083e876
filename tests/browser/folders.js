// A folder that is followed: named on the page, and what comes into it is on the open page by itself.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Home, enter, findings, holds, launch, look, pictures } from "./world.js";

let browser;
let home;

before(async () => {
  browser = await launch();
  home = new Home();
  await home.command(["init", "--family", "Berger", "--person", "Anna", "--device", "laptop", "--no-recovery"]);
  await home.serve();
});
after(async () => {
  if (browser) await browser.close();
  if (home) await home.end();
});

test("what comes into a followed folder is on the page, and a folder that is away is named", async () => {
  const [first, second] = await pictures(browser, 2);
  const camera = join(home.folder, `Camera ${"and ".repeat(30)}more`);
  mkdirSync(camera);
  writeFileSync(join(camera, first.name), first.buffer);
  const page = await look(browser);
  await enter(page, home);
  await page.goto(`${home.ready.gallery}/settings`);
  const button = (name) => page.getByRole("button", { name, exact: true });
  await button("Follow").click();
  // A path is longer than a name may be.
  await page.getByLabel("Folder on this computer").fill(camera);
  await page.getByRole("dialog").getByRole("button", { name: "Follow", exact: true }).click();
  const row = page.locator(".setting").filter({ hasText: "Camera and and" });
  await row.getByText("Goes into Library").waitFor();
  assert.deepEqual(await findings(page), []);

  const timeline = await look(browser);
  await timeline.goto(await home.link());
  const cells = (count) => timeline.waitForFunction((count) => document.querySelectorAll(".cell .look img.there").length === count, count);
  await cells(1);
  writeFileSync(join(camera, second.name), second.buffer);
  await cells(2);

  const away = join(home.folder, "away");
  renameSync(camera, away);
  await page.goto(`${home.ready.gallery}/settings`);
  await row.getByText("It is not there now").waitFor();
  await page.goto(`${home.ready.gallery}/safety`);
  await page.getByText(/is followed, and it is not there now/).waitFor();
  renameSync(away, camera);
  await page.goto(`${home.ready.gallery}/settings`);
  await row.getByText("Goes into Library").waitFor();
  await row.getByRole("button", { name: "Stop following", exact: true }).click();
  await page.getByText("What was added from it stays.").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Stop following", exact: true }).click();
  await row.waitFor({ state: "detached" });
  for (const one of [page, timeline]) { await holds(one, assert); await one.context().close(); }
});

test("the folder of pictures is counted when one wants to add, and not before the page is shown", async () => {
  mkdirSync(join(home.folder, "Pictures", "below"), { recursive: true });
  const some = await pictures(browser, 3, 20);
  for (const one of some) writeFileSync(join(home.folder, "Pictures", "below", one.name), one.buffer);
  const page = await look(browser);
  const asked = [];
  page.on("response", async (told) => { if (told.url().includes("/api/v1/state")) asked.push(await told.json()); });
  await page.goto(await home.link());
  await page.locator(".top .add").click();
  await page.getByRole("dialog").getByText("3 photos on this computer").waitFor();
  assert.deepEqual(asked.map((one) => one.pictures && one.pictures.count), [null, 3]);
  await holds(page, assert);
  await page.context().close();
});
