// What the page says when something was mistyped, is missing, or ends, on two devices of one person.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { Home, PATIENCE, findings, holds, launch, look, pictures } from "./world.js";

let browser;
let laptop;
let tablet;
/** The pages of both. */
let a;
let b;

before(async () => {
  browser = await launch();
  [laptop, tablet] = [new Home(), new Home()];
  mkdirSync(join(laptop.folder, "Documents"));
  mkdirSync(join(laptop.folder, "Pictures"));
  await Promise.all([laptop.serve(), tablet.serve()]);
  [a, b] = [await look(browser), await look(browser)];
  await a.context().grantPermissions(["clipboard-read", "clipboard-write"]);
});
after(async () => {
  if (browser) await browser.close();
  for (const home of [laptop, tablet]) if (home) await home.end();
});

const button = (page, name) => page.getByRole("button", { name, exact: true });
const photos = (page, count) => page.waitForFunction((count) => document.querySelectorAll(".cell .look img.there").length === count, count);

/** A page of a list of screens without findings. */
async function clean(page, what) {
  assert.deepEqual(await findings(page), [], what);
  await holds(page, assert);
}

test("the words on paper say whose they are, of when, and what for", async () => {
  await a.goto(await laptop.link());
  await a.getByLabel("Your name").fill("Anna");
  await a.getByLabel("Name of this device").fill("laptop");
  await a.getByRole("button", { name: /Start a family/ }).click();
  await a.getByLabel("Name of the family").fill("Berger");
  await button(a, "Start a family").click();
  await a.locator(".code-words li").nth(23).waitFor();
  const paper = a.locator(".on-paper");
  await a.waitForFunction(() => document.querySelector(".on-paper p")?.textContent.includes("Anna"));
  assert.equal(await paper.first().isVisible(), false);
  await a.emulateMedia({ media: "print" });
  const said = (await paper.allInnerTexts()).join("\n");
  assert.match(said, /Recovery words of Anna, family Berger/);
  assert.ok(said.includes(String(new Date().getFullYear())), said);
  assert.match(said, /start Heirloom on a new device/);
  assert.equal(await a.evaluate(() => getComputedStyle(document.body).backgroundColor), "rgb(255, 255, 255)");
  assert.equal(await button(a, "I have them on paper").isVisible(), false);
  await a.emulateMedia({ media: "screen" });
  await button(a, "I have them on paper").click();
  await button(a, "Go on without them").click();
  await a.locator("dialog").getByRole("button", { name: "Go on without them" }).click();
  await button(a, "To the photos").click();
  await a.getByText("Add your first photos").waitFor();
  await holds(a, assert);
});

test("what was mistyped in a code is named, and the code still works", async () => {
  await a.goto(`${laptop.ready.gallery}/safety`);
  assert.equal(await a.getByText(/0 byte/).count(), 0);
  await button(a, "Pair a device").first().click();
  await a.locator("img.qr").waitFor();
  const year = String(new Date(Date.now() + 86400e3).getFullYear());
  await a.getByText(new RegExp(`Valid until .*${year}`)).waitFor();
  await clean(a, "the code");
  const words = await a.locator(".code-words li").allTextContents();
  await button(a, "Copy the code").click();
  await button(a, "Copied").waitFor();
  const code = await a.evaluate(() => navigator.clipboard.readText());
  await b.goto(await tablet.link());
  await b.getByLabel("Your name").fill("Anna");
  await b.getByLabel("Name of this device").fill("tablet");
  await b.getByRole("button", { name: /Join a family/ }).click();
  // The focus has come along.
  await b.waitForFunction(() => document.activeElement.getAttribute("name") === "code");
  const says = async (text, answer) => {
    await b.getByLabel("The code").fill(text);
    await button(b, "Join").click();
    await b.getByRole("alert").getByText(answer).waitFor();
  };
  await says(words.slice(0, 11).join(" "), "12 words are needed");
  await says(words.with(2, "qqqq").join(" "), "Word 3 is not in the list");
  await says(code.slice(0, -6), "The link is not whole");
  await clean(b, "a wrong code");
  await b.getByLabel("The code").fill(code);
  await button(b, "Join").click();
  await Promise.all([a.locator(".same-words li").nth(3).waitFor(), b.locator(".same-words li").nth(3).waitFor()]);
  await Promise.all([button(a, "The same: accept").click(), button(b, "The same: accept").click()]);
  await button(a, "Done").click();
  await b.getByText("You have joined the family \u201cBerger\u201d").waitFor();
  await button(b, "To the photos").click();
  await holds(b, assert);
});

test("activity shows some of the photos that came together, and a place where no small picture is", async () => {
  await a.goto(`${laptop.ready.gallery}/photos`);
  await a.locator(".top .add").click();
  await a.locator('dialog input[type="file"]').first().setInputFiles(await pictures(browser, 8));
  await photos(a, 8);
  await photos(b, 8);
  let asked = 0;
  await a.route("**/thumb/*", (route) => { asked += 1; return asked === 1 ? route.fulfill({ status: 404, body: "{}" }) : route.continue(); });
  await a.goto(`${laptop.ready.gallery}/activity`);
  await a.getByText("added 8 photos").waitFor();
  assert.equal(await a.locator(".row-of-photos a").count(), 6);
  await a.locator(".no-photo").waitFor();
  await a.waitForFunction(() => [...document.querySelectorAll(".row-of-photos img")].every((one) => one.complete && one.naturalWidth > 0));
  assert.equal(await a.locator(".row-of-photos img").count(), 5);
  await clean(a, "activity");
  await a.unroute("**/thumb/*");
});

test("a date is picked, and what is not one stays in the dialog", async () => {
  await a.goto(`${laptop.ready.gallery}/photos`);
  await photos(a, 8);
  await a.locator(".cell .look").first().click();
  await a.locator(".viewer.ready").waitFor();
  if (await a.locator(".details").count() === 0) await button(a, "Details").click();
  await a.locator(".details").getByRole("button", { name: "Correct when it was taken" }).click();
  const field = a.getByLabel("Date and time, as a clock there showed");
  assert.equal(await field.getAttribute("type"), "datetime-local");
  await field.fill("");
  await button(a, "Save").click();
  assert.ok(await field.isVisible(), "nothing was said yet");
  // What the node does not take stands in the dialog, beside what was typed.
  await a.route("**/api/v1/act/retake", (route) => route.fulfill({ status: 400, contentType: "application/json", body: JSON.stringify({ type: "error", id: "E-NOT-ALLOWED", message: "you may not do this here" }) }), { times: 1 });
  await field.fill("1974-08-12T15:00");
  await button(a, "Save").click();
  await a.locator("dialog").getByRole("alert").waitFor();
  assert.equal(await field.inputValue(), "1974-08-12T15:00");
  await button(a, "Save").click();
  await field.waitFor({ state: "detached" });
  await a.locator(".details").getByText(/12 August 1974/).waitFor();
  await button(a, "Close").first().click();
  await a.locator(".viewer").waitFor({ state: "detached" });
  await holds(a, assert);
});

test("folders are proposed, and what goes wrong with them is said where they are typed", async () => {
  await a.goto(`${laptop.ready.gallery}/settings`);
  await button(a, "Export").click();
  const field = a.getByLabel("Folder on this computer");
  const folder = join(laptop.folder, "Documents", "Heirloom");
  assert.equal(await field.inputValue(), folder);
  await field.fill("/proc/nowhere");
  await a.locator("dialog").getByRole("button", { name: "Export" }).click();
  await a.locator("dialog").getByRole("alert").waitFor();
  assert.equal(await field.inputValue(), "/proc/nowhere");
  await field.fill(folder);
  await a.locator("dialog").getByRole("button", { name: "Export" }).click();
  await a.getByText(/^8 written/).waitFor();
  assert.ok(existsSync(folder));
  await button(a, "Follow").click();
  assert.equal(await field.inputValue(), join(laptop.folder, "Pictures"));
  await field.fill(join(laptop.folder, "nothing"));
  await a.locator("dialog").getByRole("button", { name: "Follow" }).click();
  await a.locator("dialog").getByRole("alert").waitFor();
  await clean(a, "a folder that is not there");
  await button(a, "Cancel").click();
  // The example below the field is one that holds.
  await button(a, "Change").first().click();
  const speed = a.locator('dialog input[name="said"]');
  await speed.fill("fast");
  await button(a, "Save").click();
  await a.locator("dialog").getByRole("alert").waitFor();
  for (const example of ["1MB/s", "08:00-23:00 500kB/s"]) {
    assert.ok((await a.locator("dialog small").textContent()).includes(example), example);
    await speed.fill(example);
    await button(a, "Save").click();
    await speed.waitFor({ state: "detached" });
    await a.getByText(example).first().waitFor();
    await button(a, "Change").first().click();
  }
  await speed.fill("");
  await button(a, "Save").click();
  await speed.waitFor({ state: "detached" });
  await holds(a, assert);
});

test("on a phone a photo can be downloaded and put into an album, and swipes away downwards", async () => {
  const phone = await look(browser, { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  await phone.goto(await laptop.link());
  await photos(phone, 8);
  const edges = await phone.evaluate(() => ["h2.month", ".day", ".cell", ".find"].map((one) => Math.round(document.querySelector(one).getBoundingClientRect().left)));
  assert.deepEqual(new Set(edges).size, 1, `one left edge: ${edges}`);
  await phone.locator(".cell .look").first().tap();
  await phone.locator(".viewer.ready").waitFor();
  await button(phone, "More").last().tap();
  await phone.locator("dialog").getByRole("button", { name: "Download the original" }).waitFor();
  await clean(phone, "more of a photo");
  await phone.locator("dialog").getByRole("button", { name: "Add to an album" }).tap();
  await phone.getByLabel("New album").fill("On the way");
  await button(phone, "Create").tap();
  await phone.getByText("1 added to On the way.").waitFor();
  const finger = await phone.context().newCDPSession(phone);
  const touch = (type, y) => finger.send("Input.dispatchTouchEvent", { type, touchPoints: type === "touchEnd" ? [] : [{ x: 195, y }] });
  await touch("touchStart", 300);
  for (let y = 320; y <= 700; y += 20) await touch("touchMove", y);
  await touch("touchEnd", 700);
  await phone.locator(".viewer").waitFor({ state: "detached" });
  await holds(phone, assert);
  await phone.context().close();
});

test("the last removed photo that comes back leaves no question unanswered", async () => {
  await a.goto(`${laptop.ready.gallery}/photos`);
  await photos(a, 8);
  const missed = [];
  a.on("response", (answer) => { if (answer.status() === 404) missed.push(answer.url()); });
  const asset = (await laptop.command(["list"])).find((line) => line.type === "asset").id;
  await laptop.command(["trash", asset]);
  await a.goto(`${laptop.ready.gallery}/trash`);
  await photos(a, 1);
  await laptop.command(["restore", asset]);
  await a.getByText("Nothing was removed").waitFor();
  const month = await a.evaluate(async () => (await fetch("/api/v1/month/1999-12?trashed=1")).json());
  assert.deepEqual(month.assets, []);
  assert.deepEqual(missed, []);
});

test("in German every word of the rail is whole", async () => {
  const page = await look(browser, { locale: "de-DE", viewport: { width: 1440, height: 900 } });
  await page.goto(await laptop.link());
  await photos(page, 8);
  const cut = await page.evaluate(() => [...document.querySelectorAll(".rail .tab span")].filter((one) => one.scrollWidth > one.clientWidth || one.scrollHeight > one.clientHeight).map((one) => one.textContent));
  assert.deepEqual(cut, []);
  await page.context().close();
});

test("retiring a device says what it costs, and the device says that it is out", async () => {
  // What it costs is known once the other has shown that it holds them.
  const until = Date.now() + PATIENCE;
  for (;;) {
    const [status] = await laptop.command(["status"]);
    if (status.safe === 8) break;
    assert.ok(Date.now() < until, JSON.stringify(status));
    await new Promise((done) => setTimeout(done, 500));
  }
  await b.goto(`${tablet.ready.gallery}/photos`);
  await photos(b, 8);
  await a.goto(`${laptop.ready.gallery}/safety`);
  const other = a.locator(".device").filter({ hasText: "tablet" });
  await other.getByRole("button", { name: /^More for/ }).click();
  await a.getByRole("button", { name: /^Retire/ }).click();
  await a.getByText("8 photos will then be on one device only.").waitFor();
  await clean(a, "what it costs");
  await button(a, "Retire").click();
  await other.getByText("No longer in the family").waitFor();
  await b.locator(".shield.bad").getByText("This device is no longer in the family").waitFor();
  await b.goto(`${tablet.ready.gallery}/safety`);
  await b.getByRole("heading", { name: "This device is no longer in the family" }).waitFor();
  await b.getByText(/Ask Anna to invite it again/).waitFor();
  assert.equal(await b.getByText(/safe on at least|[Ss]afe on \d/).count(), 0);
  await clean(b, "out of the family");
  await b.locator(".top .add").click();
  await b.getByText(/What you add stays on it alone/).waitFor();
  await clean(b, "adding out of the family");
});
