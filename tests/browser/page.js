// What holds of the page's files by themselves: vendored code is what npm has, the page is small,
// all tables say the same things, types fit, and no markup is made from text.
import { test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const assets = fileURLToPath(new URL("../../node/src/gallery/assets/", import.meta.url));
const read = (name) => readFileSync(assets + name);
const scripts = readdirSync(assets).filter((name) => name.endsWith(".js"));

/** File of the page, and where its npm package has the same bytes. */
const VENDOR = [
  ["vendor/preact.js", "preact/dist/preact.module.js"],
  ["vendor/preact.LICENSE", "preact/LICENSE"],
  ["vendor/htm.js", "htm/dist/htm.module.js"],
  ["vendor/htm.LICENSE", "htm/LICENSE"],
  ["vendor/photoswipe.js", "photoswipe/dist/photoswipe.esm.min.js"],
  ["vendor/photoswipe.css", "photoswipe/dist/photoswipe.css"],
  ["vendor/photoswipe.LICENSE", "photoswipe/LICENSE"],
];

/** gzip, with one language: what a browser fetches. */
const LOOK_BYTES = 90 * 1024;

test("vendored files are byte for byte those of the pinned npm packages", () => {
  for (const [name, from] of VENDOR) assert.ok(read(name).equals(readFileSync(`${here}node_modules/${from}`)), name);
  const known = VENDOR.map(([name]) => name.replace("vendor/", "")).sort();
  assert.deepEqual(readdirSync(`${assets}vendor`).sort(), known);
});

/** A script with all that it imports without being asked. */
function closure(name, into = new Set()) {
  if (into.has(name)) return into;
  into.add(name);
  for (const [, next] of read(name).toString().matchAll(/^import [^;]*?from "\.\/([^"]+)";/gm)) closure(next, into);
  return into;
}

test("the page with its viewer is at most 90 KiB, compressed", () => {
  const styles = [...read("index.html").toString().matchAll(/rel="stylesheet" href="\/assets\/([^"]+)"/g)].map(([, name]) => name);
  const look = new Set([...closure("main.js"), ...closure("viewer.js"), ...styles, "index.html", "lang/de.json", "icon.svg", "manifest.webmanifest"]);
  const size = (names) => [...names].reduce((sum, name) => sum + gzipSync(read(name), { level: 9 }).length, 0);
  const bytes = size(look);
  const all = size(new Set([...look, ...scripts]));
  console.log(`page with viewer: ${bytes} bytes gzip; with every screen: ${all} bytes gzip`);
  assert.ok(bytes <= LOOK_BYTES, `${bytes} bytes`);
});

test("every sentence is there in every language, with the same places to fill", () => {
  const tables = readdirSync(`${assets}lang`).map((name) => [name, JSON.parse(read(`lang/${name}`))]);
  const [, first] = tables.find(([name]) => name === "en.json");
  const gaps = (form) => [...new Set(JSON.stringify(form).match(/\{\w+\}/g) || [])].filter((gap) => gap !== "{n}").sort();
  for (const [name, table] of tables) {
    assert.deepEqual(Object.keys(table), Object.keys(first), name);
    for (const key of Object.keys(first)) assert.deepEqual(gaps(table[key]), gaps(first[key]), `${name} ${key}`);
  }
  const used = new Set();
  for (const name of scripts) for (const [, key] of read(name).toString().matchAll(/\bt\("([\w.-]+)"/g)) used.add(key);
  for (const key of used) assert.ok(key in first, `${key} is in no table`);
});

test("nothing turns text into markup or code", () => {
  for (const name of scripts) {
    assert.doesNotMatch(read(name).toString(), /innerHTML|outerHTML|insertAdjacentHTML|dangerouslySet|document\.write|\beval\(|new Function|srcdoc|createPolicy/, name);
  }
  assert.doesNotMatch(read("index.html").toString(), /<script(?![^>]*src=)|<style|\sstyle=|\son\w+=/);
  for (const name of [...scripts, "index.html"]) assert.doesNotMatch(read(name).toString().replaceAll("http://www.w3.org/", ""), /https?:\/\//, name);
});

test("types fit", () => {
  let said = "";
  try { execFileSync(process.execPath, [`${here}node_modules/typescript/bin/tsc`, "-p", here], { encoding: "utf8" }); } catch (error) { said = error.stdout; }
  // Vendored code is not typed for us.
  const ours = said.split("\n").filter((line) => /error TS/.test(line) && !line.includes("/vendor/"));
  assert.deepEqual(ours, []);
});
