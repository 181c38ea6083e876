// Every screen for everybody: what axe-core finds, the keyboard alone, a phone, German, without motion.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { Home, findings, holds, launch, look, pictures } from "./world.js";

const SCREENS = ["/photos", "/albums", "/people", "/safety", "/activity", "/trash", "/search", "/search?q=2012", "/settings"];
let browser;
let home;
let state;

before(async () => {
  browser = await launch();
  home = new Home();
  await home.command(["init", "--family", "Berger", "--person", "Anna", "--no-recovery"]);
  await home.serve();
  const page = await look(browser);
  await page.goto(await home.link());
  await page.locator(".top .add").click();
  await page.locator('dialog input[type="file"]').first().setInputFiles(await pictures(browser, 12));
  await page.waitForFunction(() => document.querySelectorAll(".cell .look img.there").length === 12);
  await page.getByText("12 photos added").first().waitFor();
  state = await page.context().storageState();
  await page.context().close();
});
after(async () => { if (browser) await browser.close(); if (home) await home.end(); });

/** A screen when it has what it shows. */
async function go(page, path) {
  await page.goto(`${home.ready.gallery}${path}`);
  await page.waitForFunction(() => document.querySelector("h1") && !document.querySelector("[aria-busy]"));
}

for (const colorScheme of ["light", "dark"]) {
  for (const width of [390, 820, 1440]) {
    test(`axe-core finds nothing on any screen, ${colorScheme}, ${width} px, and nothing is wider`, async () => {
      const page = await look(browser, { colorScheme, viewport: { width, height: 860 }, storageState: state });
      for (const path of SCREENS) {
        await go(page, path);
        assert.deepEqual(await findings(page), [], path);
        assert.doesNotMatch(await page.locator("body").innerText(), /^[a-z]+\.[a-z]+[.\w]*$/m, `${path}: a sentence that is in no table`);
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), path);
      }
      await holds(page, assert);
      await page.context().close();
    });
  }
}

test("the keyboard alone reaches every screen, every photo and every act", async () => {
  const page = await look(browser, { storageState: state });
  await go(page, "/photos");
  await page.waitForFunction(() => document.querySelectorAll(".cell .look img.there").length === 12);
  const reached = new Set();
  for (let nth = 0; nth < 40; nth += 1) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const now = document.activeElement;
      const style = getComputedStyle(now);
      return { name: now.getAttribute("aria-label") || now.textContent.trim() || now.name, cell: Boolean(now.closest(".cell")), ring: style.outlineStyle !== "none" || now.matches(".find input") };
    });
    if (at.name) reached.add(at.name);
    assert.ok(at.ring || !at.name, `no ring on ${at.name}`);
    if (at.cell) break;
  }
  for (const name of ["Photos", "Albums", "People", "Safety", "Activity", "Removed", "Settings", "Add photos"]) assert.ok(reached.has(name), name);
  // Arrows move within the grid; it is one stop for Tab.
  const cursor = () => page.evaluate(() => document.activeElement.closest(".cell")?.dataset.photo);
  assert.equal(await cursor(), "0");
  await page.keyboard.press("ArrowRight");
  assert.equal(await cursor(), "1");
  await page.keyboard.press("End");
  assert.equal(await cursor(), "11");
  await page.keyboard.press("ArrowUp");
  assert.notEqual(await cursor(), "11");
  await page.keyboard.press("Home");
  await page.keyboard.press("x");
  await page.getByRole("toolbar").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("toolbar").waitFor({ state: "detached" });
  // The viewer: open, look around, close; the focus is where one was.
  await page.keyboard.press("Enter");
  await page.locator(".viewer.ready").waitFor();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("i");
  await page.locator(".details dl").waitFor();
  for (let nth = 0; nth < 12; nth += 1) {
    await page.keyboard.press("Tab");
    assert.ok(await page.evaluate(() => Boolean(document.activeElement.closest(".viewer"))), "the focus stays in the viewer");
  }
  assert.deepEqual(await findings(page), []);
  await page.keyboard.press("Escape");
  await page.locator(".viewer-top").waitFor({ state: "detached" });
  await page.waitForFunction(() => document.activeElement.closest(".cell")?.dataset.photo === "1");
  await page.keyboard.press("?");
  // No key reaches the page while a dialog is open.
  const closed = () => page.getByRole("dialog").waitFor({ state: "detached" });
  await page.getByRole("dialog").getByText("Go to a month").waitFor();
  await page.keyboard.press("Escape");
  await closed();
  await page.keyboard.press("g");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await closed();
  // The keys are the page's again once the focus is back where it was.
  await page.waitForFunction(() => document.activeElement.closest(".cell"));
  await page.keyboard.press("/");
  await page.keyboard.type("2012");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/search\?q=2012/);
  await holds(page, assert);
  await page.context().close();
});

test("on every screen Tab comes to everything that can be used, in a ring that is seen, and back", async () => {
  const page = await look(browser, { storageState: state });
  for (const path of SCREENS) {
    await go(page, path);
    // What is said of the safety is a name too, and it is there when it has been asked for.
    await page.waitForFunction(() => document.querySelector(".shield") && !document.querySelector(".shield").textContent.includes("Looking"));
    // A mark for each, so that what is drawn anew in between still counts as reached.
    const wanted = await page.evaluate(() => {
      window.nameOf = (one) => `${one.tagName} ${one.getAttribute("aria-label") || one.textContent.trim().slice(0, 60) || one.name} ${one.getAttribute("href") || ""}`;
      const all = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")];
      return [...new Set(all.filter((one) => one.tabIndex >= 0 && !one.disabled && one.checkVisibility({ visibilityProperty: true }) && !one.closest(".cell")).map(window.nameOf))];
    });
    assert.ok(wanted.length > 8, `${path}: ${wanted}`);
    const reached = new Set();
    const unseen = [];
    for (let nth = 0; nth < wanted.length + 30; nth += 1) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => {
        const now = document.activeElement;
        if (now === document.body) return null;
        const style = getComputedStyle(now);
        const box = now.getBoundingClientRect();
        return { name: window.nameOf(now), ring: style.outlineStyle !== "none" || style.boxShadow !== "none" || now.matches(".find input"), seen: box.width > 0 && box.bottom > 0 && box.top < innerHeight };
      });
      if (!at) continue;
      reached.add(at.name);
      if (!at.ring || !at.seen) unseen.push(at.name);
    }
    assert.deepEqual(wanted.filter((name) => !reached.has(name)), [], path);
    assert.deepEqual(unseen, [], path);
  }
  // A dialog keeps the focus, and gives it back.
  await go(page, "/safety");
  await page.getByRole("button", { name: /^More for/ }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  for (let nth = 0; nth < 12; nth += 1) {
    await page.keyboard.press("Tab");
    assert.ok(await page.evaluate(() => document.activeElement === document.body || Boolean(document.activeElement.closest("dialog"))));
  }
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.ok(await page.evaluate(() => document.activeElement.getAttribute("aria-label").startsWith("More for")));
  await holds(page, assert);
  await page.context().close();
});

/** What a finger would miss: less than 44 px high or wide, with the label that belongs to it. */
const small = (page) => page.evaluate(() => [...document.querySelectorAll("button, a[href], input, select, summary, textarea")]
  .filter((one) => one.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !one.closest(".cell, .day, .skip, .unseen, p"))
  .map((one) => [one.getAttribute("aria-label") || one.textContent.trim(), (one.closest("label") || one).getBoundingClientRect()])
  .filter(([, box]) => box.width > 1 && (box.width < 44 || box.height < 44)).map(([name, box]) => `${name} ${box.width} x ${box.height}`));

test("a phone can do it: bars at the bottom, fingers find their targets, a long press selects", async () => {
  const page = await look(browser, { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, storageState: state });
  const missed = [];
  for (const path of SCREENS) {
    await go(page, path);
    for (const one of await small(page)) missed.push(`${path}: ${one}`);
  }
  assert.deepEqual(missed, []);
  await page.getByRole("button", { name: "Add photos" }).tap();
  await page.getByRole("dialog").waitFor();
  assert.deepEqual(await small(page), [], "what a dialog offers");
  await page.keyboard.press("Escape");
  await go(page, "/photos");
  await page.waitForFunction(() => document.querySelectorAll(".cell .look img.there").length === 12);
  // A cell that is drawn anew in this moment has no box.
  let box = null;
  for (let nth = 0; !box && nth < 20; nth += 1) box = await page.locator(".cell").nth(2).boundingBox();
  const finger = await page.context().newCDPSession(page);
  const at = [{ x: box.x + box.width / 2, y: box.y + box.height / 2 }];
  await finger.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: at });
  await page.getByRole("toolbar").waitFor();
  await finger.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
  await page.getByText("1 selected").first().waitFor();
  await page.getByRole("button", { name: /End the selection/ }).tap();
  await page.locator(".cell .look").nth(1).tap();
  await page.locator(".viewer.ready").waitFor();
  await holds(page, assert);
  await page.context().close();
});

test("German is spoken to who reads German, and English when it is chosen", async () => {
  const page = await look(browser, { locale: "de-DE", storageState: state });
  await go(page, "/settings");
  await page.getByRole("heading", { name: "Einstellungen" }).waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.lang), "de");
  await page.getByLabel("Sprache").selectOption("en");
  await page.getByRole("heading", { name: "Settings" }).waitFor();
  await page.context().close();
});

test("forced colours leave everything to be seen on every screen and in the viewer", async () => {
  const page = await look(browser, { forcedColors: "active", storageState: state });
  for (const path of SCREENS) {
    await go(page, path);
    assert.ok(await page.evaluate(() => matchMedia("(forced-colors: active)").matches));
    assert.deepEqual(await findings(page), [], path);
    // What is drawn by its background alone would be gone: each button, field and mark has a border, or words, or lines.
    const gone = await page.evaluate(() => [...document.querySelectorAll("button, input, select, textarea, progress, .standing .mark")]
      .filter((one) => one.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !one.closest(".cell, .day") && !one.closest(".unseen"))
      .filter((one) => {
        const style = getComputedStyle(one);
        const bordered = style.borderStyle !== "none" && parseFloat(style.borderWidth) > 0;
        const lined = one.querySelector("svg") && getComputedStyle(one.querySelector("svg")).stroke !== "none";
        return !bordered && !lined && !one.textContent.trim() && style.appearance === "none" && style.forcedColorAdjust !== "none";
      }).map((one) => one.outerHTML.slice(0, 120)));
    assert.deepEqual(gone, [], path);
  }
  await go(page, "/photos");
  await page.locator(".cell .look").first().click();
  await page.locator(".viewer.ready").waitFor();
  assert.deepEqual(await findings(page), []);
  await holds(page, assert);
  await page.context().close();
});

test("with reduced motion nothing moves, on no screen and not in the viewer", async () => {
  const page = await look(browser, { reducedMotion: "reduce", storageState: state });
  const moving = () => page.evaluate(() => [...document.querySelectorAll("*")].filter((one) => {
    const style = getComputedStyle(one);
    const lasts = (text) => text.split(",").some((one) => parseFloat(one) > 0.001);
    return lasts(style.transitionDuration) || (style.animationName !== "none" && lasts(style.animationDuration));
  }).map((one) => one.className || one.tagName));
  for (const path of SCREENS) {
    await go(page, path);
    assert.deepEqual(await moving(), [], path);
  }
  await go(page, "/photos");
  await page.locator(".cell .look").first().click();
  await page.locator(".viewer.ready").waitFor();
  await page.keyboard.press("ArrowRight");
  assert.deepEqual(await moving(), []);
  assert.equal(await page.evaluate(() => document.getAnimations().filter((one) => one.playState === "running").length), 0);
  await holds(page, assert);
  await page.context().close();
});

test("German and names that are long or written from the right break no screen, album, viewer or dialog of a phone", async () => {
  const [long, hebrew, arabic] = ["Donaudampfschifffahrt".repeat(4).slice(0, 80), "\u05e1\u05d1\u05ea\u05d0 \u05e8\u05d7\u05dc (1) \u05d9\u05e8\u05d5\u05e9\u05dc\u05d9\u05dd", "\u0631\u062d\u0644\u0629 \u0627\u0644\u0635\u064a\u0641 2019!"];
  const [me] = (await home.command(["people", "list"])).filter((line) => line.type === "person");
  await home.command(["people", "rename", me.id, hebrew]);
  const [device] = (await home.command(["device", "list"])).filter((line) => line.type === "device");
  await home.command(["device", "rename", device.id, long.slice(0, 60)]);
  const all = (await home.command(["list"])).filter((line) => line.type === "asset");
  const albums = [];
  for (const name of [long, hebrew, arabic]) {
    const made = await home.command(["album", "create", name]);
    const { album } = made.find((line) => line.album);
    albums.push(album);
    await home.command(["album", "add", album, ...all.slice(0, 3).map((one) => one.id)]);
  }
  await home.command(["tag", all[0].id, "--add", long.slice(0, 60)]);
  const page = await look(browser, { locale: "de-DE", viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, storageState: state });
  const holdsAll = async (what) => {
    assert.deepEqual(await findings(page), [], what);
    assert.doesNotMatch(await page.locator("body").innerText(), /^[a-z]+\.[a-z]+[.\w]*$/m, `${what}: a sentence that is in no table`);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), what);
    // Nothing reaches beyond the edge, nor is anything but a photo cut off there.
    const beyond = await page.evaluate(() => [...document.querySelectorAll("main *, .viewer *, dialog *, .top *")]
      .filter((one) => one.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !one.closest(".unseen, svg, .scroll, .pswp__scroll-wrap, .scrubber"))
      .map((one) => [one, one.getBoundingClientRect()]).filter(([, box]) => box.width > 1 && (box.right > innerWidth + 1 || box.left < -1)).map(([one, box]) => `${one.tagName}.${one.className} ${Math.round(box.left)}..${Math.round(box.right)}`));
    assert.deepEqual(beyond, [], what);
  };
  for (const path of [...SCREENS, ...albums.map((id) => `/albums/${id}`)]) {
    await go(page, path);
    assert.equal(await page.evaluate(() => document.documentElement.lang), "de", path);
    await holdsAll(path);
  }
  // Dialogs: of an album, of adding, of a person, of a device.
  const closed = async () => { await page.keyboard.press("Escape"); await page.getByRole("dialog").waitFor({ state: "detached" }); };
  await go(page, `/albums/${albums[0]}`);
  await page.getByRole("button", { name: "Teilen" }).tap();
  await page.locator("dialog .persons li").first().waitFor();
  await holdsAll("sharing");
  // What is written from the right stays within its own name: what stands beside it keeps its order.
  assert.equal(await page.locator("dialog .persons .grow").first().evaluate((one) => getComputedStyle(one).unicodeBidi), "isolate");
  await closed();
  await go(page, `/albums/${albums[1]}`);
  await page.getByRole("button", { name: "Teilen" }).tap();
  await page.getByRole("dialog", { name: `\u2068${hebrew}\u2069` }).waitFor();
  await closed();
  await page.locator(".album-head").getByRole("button", { name: "Mehr" }).tap();
  await page.getByRole("dialog").waitFor();
  await holdsAll("what can be done with an album");
  await closed();
  for (const path of ["/people", "/safety"]) {
    await go(page, path);
    await page.getByRole("button", { name: /^Mehr zu/ }).first().tap();
    await page.getByRole("dialog").waitFor();
    await holdsAll(`a menu of ${path}`);
    await closed();
  }
  await page.locator(".top .add").tap();
  await page.getByRole("dialog").waitFor();
  await holdsAll("adding");
  await closed();
  await go(page, `/albums/${albums[0]}`);
  await page.locator(".cell .look img.there").first().waitFor();
  await page.locator(".cell .look").first().tap();
  await page.locator(".viewer.ready").waitFor();
  await page.getByRole("button", { name: "Einzelheiten", exact: true }).tap();
  await page.locator(".details dl").waitFor();
  await holdsAll("the viewer");
  await holds(page, assert);
  await page.context().close();
});
