// A phone of the family: let in by a picture that the settings show, over TLS, to do what phones do.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { networkInterfaces } from "node:os";
import { connect } from "node:tls";
import { Home, findings, holds, launch, look, pictures } from "./world.js";

let browser;
let home;
let desk;

before(async () => {
  browser = await launch();
  home = new Home();
  await home.command(["init", "--family", "Berger", "--person", "Anna", "--no-recovery"]);
});
after(async () => { if (browser) await browser.close(); if (home) await home.end(); });

/** SHA-256 of the certificate that stands at an address. @param {URL} url @returns {Promise<string>} */
const fingerprint = (url) => new Promise((done, fail) => {
  const line = connect({ host: url.hostname, port: Number(url.port), rejectUnauthorized: false }, () => {
    done(createHash("sha256").update(line.getPeerCertificate().raw).digest("hex"));
    line.end();
  });
  line.on("error", fail);
});

test("a phone comes in by what the settings show, looks, adds, favours and comments, and does no more", async (on) => {
  const others = Object.values(networkInterfaces()).flat().filter((one) => one.family === "IPv4" && !one.internal);
  if (!others.length) {
    if (process.env.CI === "true") throw new Error("this computer has no address but its own");
    return on.skip("skipped: this computer has no address but its own");
  }
  await home.serve(["--gallery", "0.0.0.0:0", "--lan-gallery"]);
  desk = await look(browser);
  await desk.goto(await home.link());
  await desk.locator(".top .add").click();
  await desk.locator('dialog input[type="file"]').first().setInputFiles(await pictures(browser, 3));
  await desk.waitForFunction(() => document.querySelectorAll(".cell .look img.there").length === 3);
  await desk.getByRole("button", { name: "Close", exact: true }).click();
  await desk.goto(`${home.ready.gallery}/settings`);
  const told = desk.waitForResponse((answer) => answer.url().endsWith("/api/v1/phone"));
  await desk.getByRole("button", { name: "Let a phone in" }).click();
  const { url, fingerprint: shown } = await (await told).json();
  await desk.locator("img.qr").waitFor();
  assert.deepEqual(await findings(desk), []);
  // What the settings tell of the certificate is what a phone will see.
  const at = new URL(url);
  assert.equal(at.protocol, "https:");
  const seen = (await desk.locator(".fingerprint").textContent()).replace(/[^0-9a-f]/gi, "").toLowerCase();
  assert.equal(seen, shown.replace(/[^0-9a-f]/gi, "").toLowerCase());
  assert.equal(seen, await fingerprint(at));
  await holds(desk, assert);

  const phone = await look(browser, { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, ignoreHTTPSErrors: true }, at.hostname);
  await phone.goto(url);
  await phone.waitForFunction(() => document.querySelectorAll(".cell .look img.there").length === 3);
  assert.ok(!phone.url().includes("#t="));
  assert.deepEqual(await findings(phone), []);
  // It adds.
  await phone.locator(".top .add").tap();
  await phone.locator('dialog input[type="file"]').first().setInputFiles(await pictures(browser, 1, 8));
  await phone.waitForFunction(() => document.querySelectorAll(".cell .look img.there").length === 4);
  await phone.getByRole("button", { name: "Close", exact: true }).tap();
  // It favours and comments.
  await phone.locator(".cell .look").first().tap();
  await phone.locator(".viewer.ready").waitFor();
  await phone.getByRole("button", { name: "Favourite", exact: true }).tap();
  await phone.getByRole("button", { name: "No longer a favourite" }).waitFor();
  await phone.getByRole("button", { name: "Details", exact: true }).tap();
  await phone.getByLabel("Say something about it").fill("from the garden");
  await phone.getByRole("button", { name: "Send" }).tap();
  await phone.locator(".comments li").getByText("from the garden").waitFor();
  assert.equal(await phone.getByRole("button", { name: /Remove|Add to an album|Add a caption/ }).count(), 0);
  assert.deepEqual(await findings(phone), []);
  const comments = (await home.command(["activity"])).filter((line) => line.text === "from the garden");
  assert.equal(comments.length, 1);
  // No screen of it offers what would be refused, and none stumbles.
  const refused = [];
  phone.on("response", (answer) => { if (answer.status() >= 400) refused.push(`${answer.status()} ${answer.url()}`); });
  for (const path of ["/albums", "/people", "/safety", "/activity", "/trash", "/search?q=2012", "/settings"]) {
    await phone.goto(`${at.origin}${path}`);
    await phone.waitForFunction(() => document.querySelector("h1") && !document.querySelector("[aria-busy]"));
    assert.equal(await phone.locator(".trouble").count(), 0, path);
    const offered = await phone.getByRole("button").allTextContents();
    assert.ok(!offered.some((one) => /Invite|Pair|New album|Check now|New words|Export|Let a phone in/.test(one)), `${path}: ${offered}`);
    assert.deepEqual(await findings(phone), [], path);
    assert.ok(await phone.evaluate(() => document.documentElement.scrollWidth <= innerWidth), path);
  }
  assert.deepEqual(refused, []);
  await holds(phone, assert);
  // The link was for one phone, once; and a session ends when it is told to.
  const other = await look(browser, { ignoreHTTPSErrors: true }, at.hostname);
  await other.goto(url);
  await other.getByText("This page is locked").waitFor();
  await home.command(["sessions", "revoke"]);
  // The page that is open says so by itself, and what a person without a terminal can do.
  await phone.getByText("This page is locked").waitFor();
  await phone.getByText(/Ask for a new picture: on the computer/).waitFor();
  assert.equal(await phone.getByText("heirloom open").isVisible(), false);
  await phone.goto(`${at.origin}/photos`);
  await phone.getByText("This page is locked").waitFor();
});
