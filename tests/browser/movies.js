// Movies and live photos as a person watches them: they play, they go where one points, and only a part of them travels.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { mkdirSync, copyFileSync, writeFileSync } from "node:fs";
import { Home, corpus, findings, holds, launch, look, pictures } from "./world.js";

let browser;
let home;
let page;

/** A movie of a moving square, made by the browser itself. */
async function filmed() {
  const page = await browser.newPage();
  const bytes = await page.evaluate(async () => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [320, 240];
    const brush = canvas.getContext("2d");
    const recorder = new MediaRecorder(canvas.captureStream(25), { mimeType: "video/webm;codecs=vp8" });
    const parts = [];
    recorder.ondataavailable = (event) => parts.push(event.data);
    recorder.start();
    const began = performance.now();
    while (performance.now() - began < 1500) {
      brush.fillStyle = "#234";
      brush.fillRect(0, 0, 320, 240);
      brush.fillStyle = "#fa0";
      brush.fillRect(((performance.now() - began) / 6) % 280, 100, 40, 40);
      await new Promise((done) => requestAnimationFrame(done));
    }
    const ended = new Promise((done) => { recorder.onstop = done; });
    recorder.stop();
    await ended;
    return [...new Uint8Array(await new Blob(parts).arrayBuffer())];
  });
  await page.close();
  return Buffer.from(bytes);
}

before(async () => {
  browser = await launch();
  home = new Home();
  await home.command(["init", "--family", "Berger", "--person", "Anna", "--no-recovery"]);
  mkdirSync(`${home.folder}/in`);
  writeFileSync(`${home.folder}/in/filmed.webm`, await filmed());
  for (const name of ["video/Issue 515 (java).mp4", "live/train.jpg", "live/train.mov"]) {
    const from = corpus(name);
    if (from) copyFileSync(from, `${home.folder}/in/${name.split("/").pop()}`);
  }
  // A photo, and beside it a movie that no browser can play.
  const [photo] = await pictures(browser, 1);
  writeFileSync(`${home.folder}/in/IMG_20120512_120310.jpg`, photo.buffer);
  writeFileSync(`${home.folder}/in/VID_20120512_120311.mov`, Buffer.from("\0\0\0\x18ftypqt  \0\0\0\0qt  \0\0\0\0 and what is in it", "latin1"));
  await home.command(["import", `${home.folder}/in`]);
  await home.serve();
  page = await look(browser);
  await page.goto(await home.link());
});
after(async () => { if (browser) await browser.close(); if (home) await home.end(); });

/** The movie that is looked at; its neighbours are there already. */
const MOVIE = ".viewer [aria-hidden=false] video";
/** The viewer on one photo. @param {string} name */
async function open(name) {
  const found = (await home.command(["list"])).find((line) => line.type === "asset" && line.name === name);
  await page.goto(`${home.ready.gallery}/photos/${found.id}`);
  await page.locator(".viewer.ready").waitFor();
  return found;
}

test("a movie plays from the keyboard, and stops", async () => {
  await open("filmed.webm");
  const movie = page.locator(MOVIE);
  await movie.waitFor();
  await page.waitForFunction(() => document.querySelector(".viewer [aria-hidden=false] video").readyState >= 2);
  await page.keyboard.press("Space");
  await page.waitForFunction(() => document.querySelector(".viewer [aria-hidden=false] video").currentTime > 0.2);
  const size = await movie.evaluate((one) => [one.videoWidth, one.videoHeight]);
  assert.deepEqual(size, [320, 240]);
  await page.keyboard.press("Space");
  await page.waitForFunction(() => { const one = document.querySelector(".viewer [aria-hidden=false] video"); return one.paused; });
  assert.deepEqual(await findings(page), []);
  await holds(page, assert);
});

test("a movie goes where one points, and only that part is read", async (on) => {
  if (!corpus("video/Issue 515 (java).mp4")) return on.skip("skipped: no photo corpus");
  const answers = [];
  page.on("response", (answer) => {
    if (new URL(answer.url()).pathname.startsWith("/original/")) answers.push({ status: answer.status(), range: answer.request().headers().range, length: answer.headers()["content-length"] });
  });
  await open("Issue 515 (java).mp4");
  await page.waitForFunction(() => document.querySelector(".viewer [aria-hidden=false] video")?.readyState >= 1);
  const length = await page.evaluate(() => document.querySelector(".viewer [aria-hidden=false] video").duration);
  assert.ok(length > 3, `${length} s`);
  for (const part of [0.9, 0.2, 0.6]) {
    const at = await page.evaluate(async (part) => {
      const movie = document.querySelector(".viewer [aria-hidden=false] video");
      const there = new Promise((done) => movie.addEventListener("seeked", done, { once: true }));
      movie.currentTime = movie.duration * part;
      await there;
      return { time: movie.currentTime / movie.duration, ready: movie.readyState, error: movie.error && movie.error.message };
    }, part);
    assert.equal(at.error, null);
    assert.ok(Math.abs(at.time - part) < 0.05 && at.ready >= 2, JSON.stringify(at));
  }
  assert.ok(answers.length > 0 && answers.every((one) => one.status === 206 && /^bytes=\d+-/.test(one.range)), JSON.stringify(answers));
  console.log(`a movie of ${length.toFixed(0)} s: ${answers.length} ranges for 3 places`);
  await page.keyboard.press("Escape");
  await page.locator(".viewer-top").waitFor({ state: "detached" });
  await holds(page, assert);
});

test("a live photo moves when it is asked to, and is a photo again", async (on) => {
  if (!corpus("live/train.jpg")) return on.skip("skipped: no photo corpus");
  await open("train.jpg");
  await page.getByRole("button", { name: "Play the moment" }).waitFor();
  await page.waitForFunction(() => document.querySelector(".viewer .pswp__img")?.complete);
  await page.keyboard.press("Space");
  await page.waitForFunction(() => document.querySelector(".viewer video.motion")?.currentTime > 0.1);
  await page.keyboard.press("Space");
  await page.waitForFunction(() => !document.querySelector(".viewer video.motion"));
  // To its end it goes by itself.
  await page.keyboard.press("Space");
  await page.waitForFunction(() => document.querySelector(".viewer video.motion")?.duration > 0);
  await page.evaluate(() => { const movie = document.querySelector(".viewer video.motion"); movie.currentTime = movie.duration - 0.1; });
  await page.waitForFunction(() => !document.querySelector(".viewer video.motion"));
  await holds(page, assert);
});

test("a movie that no browser plays is told of when one looks at it, and not before; a double click fills the screen", async () => {
  await open("IMG_20120512_120310.jpg");
  // The neighbour has been tried, and nothing was said of it.
  await page.waitForFunction(() => [...document.querySelectorAll(".viewer video")].some((one) => one.error));
  assert.equal(await page.locator(".notice").count(), 0);
  const box = await page.locator(".viewer .pswp__item[aria-hidden=false] .pswp__img").first().boundingBox();
  await page.mouse.dblclick(box.x + box.width / 2, box.y + box.height / 2);
  await page.waitForFunction(() => document.fullscreenElement);
  await page.getByRole("button", { name: "Full screen" }).click();
  await page.waitForFunction(() => !document.fullscreenElement);
  for (const key of ["ArrowLeft", "ArrowRight"]) {
    await page.keyboard.press(key);
    if (await page.locator(MOVIE).count()) break;
    await page.keyboard.press(key === "ArrowLeft" ? "ArrowRight" : "ArrowLeft");
  }
  await page.getByText(/format does not play in this browser/).first().waitFor();
  await page.keyboard.press("Escape");
  await page.locator(".viewer-top").waitFor({ state: "detached" });
  await holds(page, assert);
});
