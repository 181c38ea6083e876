// How fast the page is with 100,000 photos, in the browser itself, over loopback.
//
// The rows are made up and a proxy puts them before a real node. HEIRLOOM_SPEED_HOME names a home that
// really has them (HEIRLOOM_BENCH_KEEP of the benchmark `library` makes one): then nothing is made up.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { Home, holds, launch, look } from "./world.js";
import { front } from "./front.js";

const COUNT = 100000;
/** What a machine on which others work may be slower, before a figure counts as missed. */
const SLACK = Number(process.env.HEIRLOOM_SLACK || 6);
let browser;
let home;
let proxy;
let origin;
let state;

/** A thumbnail with as much in it as a photo has. */
async function thumbnail(page, nth) {
  const bytes = await page.evaluate(async (nth) => {
    const canvas = new OffscreenCanvas(512, 384);
    const brush = canvas.getContext("2d");
    const all = brush.createImageData(512, 384);
    let seed = nth + 1;
    for (let at = 0; at < all.data.length; at += 4) {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      const [x, y] = [(at / 4) % 512, Math.floor(at / 2048)];
      const light = ((x * (nth + 3)) / 40 ^ (y * (nth + 5)) / 60) % 96 + (seed >> 24) % 16;
      all.data.set([light + x / 4, light + y / 3, light + nth * 5, 255], at);
    }
    brush.putImageData(all, 0, 0);
    const made = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.75 });
    return [...new Uint8Array(await made.arrayBuffer())];
  }, nth);
  return Buffer.from(bytes);
}

before(async () => {
  browser = await launch();
  home = new Home(process.env.HEIRLOOM_SPEED_HOME);
  if (!process.env.HEIRLOOM_SPEED_HOME) await home.command(["init", "--family", "Berger", "--person", "Anna", "--no-recovery"]);
  await home.serve();
  origin = home.ready.gallery;
  const page = await look(browser);
  await page.goto(await home.link());
  await page.waitForSelector(".timeline");
  state = await page.context().storageState();
  if (!process.env.HEIRLOOM_SPEED_HOME) {
    const thumbs = [];
    for (let nth = 0; nth < 24; nth += 1) thumbs.push(await thumbnail(page, nth));
    console.log(`thumbnails of ${Math.round(thumbs.reduce((sum, one) => sum + one.length, 0) / thumbs.length / 1024)} KiB`);
    proxy = await front(home.ready.gallery, COUNT, thumbs);
    origin = proxy.address;
  }
  await page.context().close();
});
after(async () => {
  if (browser) await browser.close();
  if (proxy) await proxy.end();
  if (home) await home.end();
});

const median = (all) => [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)];
const at = (all, part) => [...all].sort((a, b) => a - b)[Math.min(all.length - 1, Math.floor(all.length * part))];

test("the first grid is painted within 300 ms of the load", async () => {
  const page = await look(browser, { storageState: state });
  // Two frames after the cells are there: what was drawn in the first is on the screen with the second.
  await page.addInitScript(() => {
    const seen = (what) => new MutationObserver((_, watch) => {
      if (!document.querySelector(what)) return;
      watch.disconnect();
      requestAnimationFrame(() => requestAnimationFrame(() => { window[`at ${what}`] = performance.now(); }));
    }).observe(document, { childList: true, subtree: true, attributes: true, attributeFilter: ["class"] });
    seen(".cell");
    seen("img.there");
  });
  const grids = [];
  const pictures = [];
  const loads = [];
  for (let nth = 0; nth < 10; nth += 1) {
    await page.goto(`${origin}/photos`);
    await page.waitForFunction(() => window["at .cell"] && window["at img.there"]);
    const told = await page.evaluate(() => [window["at .cell"], window["at img.there"], performance.getEntriesByType("navigation")[0].loadEventEnd]);
    grids.push(told[0]);
    pictures.push(told[1]);
    loads.push(told[2]);
  }
  const later = median(grids.map((one, nth) => one - loads[nth]));
  console.log(`from the request: load ${median(loads).toFixed(0)} ms, first grid ${median(grids).toFixed(0)} ms (slowest ${Math.max(...grids).toFixed(0)}), first thumbnail ${median(pictures).toFixed(0)} ms; grid after load ${later.toFixed(0)} ms`);
  assert.ok(median(grids) < 300 * SLACK, `${median(grids)} ms`);
  await holds(page, assert);
  await page.context().close();
});

test("any month is jumped to within 100 ms, with fewer than 400 cells", async () => {
  const page = await look(browser, { storageState: state });
  await page.goto(`${origin}/photos`);
  await page.waitForSelector("img.there");
  const told = await page.evaluate(async () => {
    const slider = document.querySelector(".scrubber");
    const rail = slider.getBoundingClientRect();
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    const jumps = [];
    const shown = [];
    let cells = 0;
    for (let nth = 0; nth < 60; nth += 1) {
      // A drag from one end to the other and back, to places that were not seen before.
      const y = rail.top + rail.height * ((nth * 37) % 60) / 60 + 1;
      const how = { bubbles: true, clientX: rail.left + 9, clientY: y, pointerId: 1 };
      const began = performance.now();
      slider.setPointerCapture = () => {};
      slider.dispatchEvent(new PointerEvent("pointerdown", how));
      slider.dispatchEvent(new PointerEvent("pointerup", how));
      await frame();
      await frame();
      jumps.push(performance.now() - began);
      cells = Math.max(cells, document.querySelectorAll(".cell").length);
      const box = document.querySelector(".scroll").getBoundingClientRect();
      for (;;) {
        const seen = [...document.querySelectorAll(".cell")].filter((one) => { const at = one.getBoundingClientRect(); return at.bottom > box.top && at.top < box.bottom; });
        if (seen.length && seen.every((one) => one.querySelector("img.there"))) break;
        await frame();
        if (performance.now() - began > 20000) break;
      }
      shown.push(performance.now() - began);
    }
    return { jumps, shown, cells };
  });
  console.log(`jump: painted after ${median(told.jumps).toFixed(0)} ms (95 of 100 within ${at(told.jumps, 0.95).toFixed(0)}), all thumbnails in sight after ${median(told.shown).toFixed(0)} ms; at most ${told.cells} cells`);
  assert.ok(median(told.jumps) < 100 * SLACK, `${median(told.jumps)} ms`);
  assert.ok(told.cells > 0 && told.cells < 400, `${told.cells} cells`);
  await holds(page, assert);
  await page.context().close();
});

test("frames come at their time while thumbnails scroll by", async () => {
  const page = await look(browser, { storageState: state });
  await page.goto(`${origin}/photos`);
  await page.waitForSelector("img.there");
  const told = await page.evaluate(async () => {
    const box = document.querySelector(".scroll");
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    const frames = [];
    const seen = new Set();
    let last = await frame();
    // A screen in two thirds of a second, for five seconds.
    for (let nth = 0; nth < 300; nth += 1) {
      box.scrollTop += 20;
      const now = await frame();
      frames.push(now - last);
      last = now;
      for (const one of document.querySelectorAll("img.there")) seen.add(one.src);
    }
    return { frames, seen: seen.size, moved: box.scrollTop };
  });
  console.log(`scroll: median frame ${median(told.frames).toFixed(1)} ms, 95 of 100 within ${at(told.frames, 0.95).toFixed(1)} ms; ${told.seen} thumbnails came`);
  assert.ok(told.moved > 5000 && told.seen > 100, JSON.stringify([told.moved, told.seen]));
  assert.ok(median(told.frames) < 16.8 * SLACK, `${median(told.frames)} ms`);
  await holds(page, assert);
  await page.context().close();
});
