// A million photos in the page of a real node: the rows are made up, everything else is as it is.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { Home, holds, launch, look } from "./world.js";
import { monthOf } from "./front.js";
import { told } from "./rows.js";

const COUNT = 1000000;
/** Twenty years of them. */
const table = told(COUNT, 4170);
let browser;
let home;
let picture;
const state = new Map();

before(async () => {
  browser = await launch();
  home = new Home();
  await home.command(["init", "--family", "Berger", "--person", "Anna", "--no-recovery"]);
  await home.serve();
  const page = await browser.newPage({ viewport: { width: 512, height: 384 } });
  await page.setContent("<body style='margin:0;background:linear-gradient(45deg,#345,#e96)'>");
  picture = await page.screenshot({ type: "jpeg" });
  await page.close();
});
after(async () => { if (browser) await browser.close(); if (home) await home.end(); });

async function open(deviceScaleFactor, viewport = { width: 1280, height: 800 }) {
  const page = await look(browser, { deviceScaleFactor, viewport, storageState: state.get("state") });
  const json = (route, body) => route.fulfill({ contentType: "application/json", body: JSON.stringify(body) });
  await page.route("**/api/v1/timeline", (route) => json(route, table));
  await page.route("**/api/v1/month/*", (route) => json(route, monthOf(table, new URL(route.request().url()).pathname.split("/").pop())));
  await page.route("**/thumb/*", (route) => route.fulfill({ contentType: "image/jpeg", body: picture }));
  if (!state.has("state")) {
    await page.goto(await home.link());
    await page.waitForSelector(".scroll .cell");
    state.set("state", await page.context().storageState());
  } else {
    await page.goto(`${home.ready.gallery}/photos`);
    await page.waitForSelector(".scroll .cell");
  }
  return page;
}

for (const ratio of [1, 2, 3]) {
  test(`every month is reached and stands where it was promised, ${ratio} device pixels to one`, async () => {
    const page = await open(ratio);
    // The scrubber's own keys, one month after another, and where the month's heading came to stand.
    const walked = await page.evaluate(async () => {
      const box = document.querySelector(".scroll");
      const slider = document.querySelector(".scrubber");
      const months = Number(slider.getAttribute("aria-valuemax")) + 1;
      const frame = () => new Promise((done) => requestAnimationFrame(() => done()));
      const out = { months, seen: 0, drift: 0, cells: 0, height: box.scrollHeight, slowest: 0 };
      slider.focus();
      for (let month = 0; month < months; month += 1) {
        const began = performance.now();
        slider.dispatchEvent(new KeyboardEvent("keydown", { key: month === 0 ? "Home" : "ArrowDown", bubbles: true }));
        out.slowest = Math.max(out.slowest, performance.now() - began);
        await frame();
        const name = slider.getAttribute("aria-valuetext");
        const head = [...document.querySelectorAll("h2.month")].find((one) => one.textContent === name);
        out.cells = Math.max(out.cells, document.querySelectorAll(".cell").length);
        if (!head) continue;
        const away = head.getBoundingClientRect().top - box.getBoundingClientRect().top;
        // The last months stand lower: the end of the page is the end.
        const atEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 1;
        if (!atEnd) out.drift = Math.max(out.drift, Math.abs(away));
        if (Math.abs(away) < box.clientHeight) out.seen += 1;
      }
      return out;
    });
    console.log(`at ${ratio}: ${walked.months} months, box ${walked.height} px, at most ${walked.cells} cells, drift ${walked.drift.toFixed(2)} px, slowest step ${walked.slowest.toFixed(0)} ms`);
    assert.equal(walked.months, table.months.length);
    assert.ok(walked.height <= 6000000);
    assert.ok(walked.seen >= walked.months - 1, `${walked.seen} of ${walked.months}`);
    // A box scrolls by whole device pixels, so that less than one of them is as near as anything can stand.
    assert.ok(walked.drift < 1 / ratio, `${walked.drift} px`);
    assert.ok(walked.cells > 0 && walked.cells < 400, `${walked.cells} cells`);
    await holds(page, assert);
    await page.context().close();
  });
}

test("a phone has fewer than 400 cells too, and nothing is wider than it", async () => {
  const page = await open(3, { width: 390, height: 844 });
  for (const part of [0.2, 0.6, 0.95]) {
    await page.evaluate((part) => { const box = document.querySelector(".scroll"); box.scrollTop = box.scrollHeight * part; }, part);
    await page.waitForSelector(".look img.there");
    assert.ok(await page.locator(".cell").count() < 400);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 390));
  }
  await page.context().close();
});

test("the wheel moves the photos as far as it turns, in a box that is shorter than they are", async () => {
  const page = await open(1);
  await page.focus(".scrubber");
  await page.keyboard.press("End");
  for (let nth = 0; nth < 6; nth += 1) await page.keyboard.press("PageUp");
  const place = () => page.evaluate(() => {
    const cell = [...document.querySelectorAll(".cell")].find((one) => one.getBoundingClientRect().top > 300);
    window.marked = window.marked && window.marked.isConnected ? window.marked : cell;
    return window.marked.getBoundingClientRect().top;
  });
  const before = await place();
  await page.mouse.move(600, 400);
  await page.mouse.wheel(0, 120);
  await page.waitForFunction((before) => Math.abs(before - window.marked.getBoundingClientRect().top - 120) < 2, before);
  // When all is quiet the box is set anew, and nothing is seen of it.
  await page.evaluate(async () => { for (let frame = 0; frame < 40; frame += 1) await new Promise((done) => requestAnimationFrame(done)); });
  assert.ok(Math.abs(before - await place() - 120) < 2);
  await page.context().close();
});

test("the address of a photo leads to it, wherever it is", async () => {
  const page = await open(1);
  const deep = monthOf(table, table.months[200].m).assets[3];
  await page.route("**/api/v1/asset/*", (route) => route.fulfill({ contentType: "application/json", body: JSON.stringify({ id: deep.id, taken: deep.t, name: deep.n, bytes: 1, albums: [], tags: [] }) }));
  await page.route("**/preview/*", (route) => route.fulfill({ contentType: "image/jpeg", body: picture }));
  await page.goto(`${home.ready.gallery}/photos/${deep.id}`);
  await page.waitForSelector(".viewer.ready");
  assert.match(page.url(), new RegExp(`/photos/${deep.id}$`));
  await page.keyboard.press("Escape");
  await page.waitForSelector(".viewer-top", { state: "detached" });
  // Closing leads to where it stands, with the focus on it.
  await page.waitForFunction((id) => document.activeElement.closest(".cell")?.dataset.id === id, deep.id);
  await holds(page, assert);
  await page.context().close();
});

test("back from the viewer the place and the focus are kept", async () => {
  const page = await open(1);
  await page.focus(".scrubber");
  for (let nth = 0; nth < 9; nth += 1) await page.keyboard.press("ArrowDown");
  await page.waitForSelector(".look img.there");
  const at = () => page.evaluate(() => { const head = document.querySelector("h2.month"); return [head.textContent, Math.round(head.getBoundingClientRect().top)]; });
  const before = await at();
  // One that is in the middle of the view, so that nothing has to move for it.
  const { id, x, y } = await page.evaluate(() => {
    const cell = [...document.querySelectorAll(".cell[data-id]")].find((one) => { const box = one.getBoundingClientRect(); return box.top > 110 && box.bottom < 740; });
    const box = cell.getBoundingClientRect();
    return { id: cell.dataset.id, x: box.left + box.width / 2, y: box.top + box.height / 2 };
  });
  await page.mouse.click(x, y);
  await page.waitForSelector(".viewer.ready");
  assert.match(page.url(), new RegExp(`/photos/${id}$`));
  await page.keyboard.press("ArrowRight");
  await page.waitForFunction((id) => !location.pathname.endsWith(id), id);
  const next = page.url().split("/").pop();
  await page.keyboard.press("Escape");
  await page.waitForSelector(".viewer-top", { state: "detached" });
  await page.waitForFunction((next) => document.activeElement.closest(".cell")?.dataset.id === next, next);
  assert.deepEqual(await at(), before);
  await holds(page, assert);
  await page.context().close();
});
