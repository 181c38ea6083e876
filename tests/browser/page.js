// What holds of the page's files by themselves: vendored code is what npm has, all tables say the same things, types fit, and no markup is made from text.
import { test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";

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

test("vendored files are byte for byte those of the pinned npm packages", () => {
  for (const [name, from] of VENDOR) assert.ok(read(name).equals(readFileSync(`${here}node_modules/${from}`)), name);
  const known = VENDOR.map(([name]) => name.replace("vendor/", "")).sort();
  assert.deepEqual(readdirSync(`${assets}vendor`).sort(), known);
});

test("no file of the page means a name of the window that another file gives", () => {
  // The program joins files into a few scripts: what one calls `confirm`, all the others would get.
  const program = ts.createProgram(scripts.map((name) => assets + name), { allowJs: true, target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ES2022, moduleResolution: ts.ModuleResolutionKind.Bundler, lib: ["lib.es2022.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"], types: [] });
  const checker = program.getTypeChecker();
  const files = scripts.map((name) => program.getSourceFile(assets + name));
  const given = new Set(files.flatMap((file) => file.statements).flatMap((one) => {
    if (ts.isVariableStatement(one)) return one.declarationList.declarations.map((each) => each.name.getText());
    return (ts.isFunctionDeclaration(one) || ts.isClassDeclaration(one)) && one.name ? [one.name.text] : [];
  }));
  assert.ok(given.has("confirm") && given.size > 100, `${given.size} names`);
  const wrong = [];
  const visit = (/** @type {ts.Node} */ node) => {
    const isField = node.parent && (ts.isPropertyAccessExpression(node.parent) && node.parent.name === node || ts.isPropertyAssignment(node.parent) && node.parent.name === node);
    if (ts.isIdentifier(node) && given.has(node.text) && !isField) {
      const from = checker.getSymbolAtLocation(node)?.declarations?.[0]?.getSourceFile();
      if (from && program.isSourceFileDefaultLibrary(from) && !ts.isMethodDeclaration(node.parent) && !ts.isBindingElement(node.parent)) wrong.push(`${node.getSourceFile().fileName.split("/").pop()}: ${node.text} at ${node.getStart()}`);
    }
    ts.forEachChild(node, visit);
  };
  files.forEach(visit);
  assert.deepEqual(wrong, []);
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

test("what the node says by an id has a sentence: what needs a person, and every switch", () => {
  const api = fileURLToPath(new URL("../../node/src/api/", import.meta.url));
  const sources = readdirSync(api, { recursive: true }).filter((name) => name.endsWith(".rs")).map((name) => readFileSync(api + name, "utf8")).join("\n");
  const table = JSON.parse(read("lang/en.json"));
  const problems = [...sources.matchAll(/Problem::new\(\s*"([a-z-]+)"/g)].map(([, id]) => `problem.${id}`);
  const words = [...sources.matchAll(/"(words-[a-z]+|restored(?:-other)?)"/g)].map(([, id]) => `problem.${id}`).filter((id) => id !== "problem.restored" || sources.includes('id: "restored"'));
  const asks = words.filter((id) => id.startsWith("problem.words-")).map((id) => `${id}.ask`);
  const switches = [...sources.matchAll(/name: "([a-z_.]+)",\s*kind: Kind::(Flag|Rates)/g)].flatMap(([, key, kind]) => kind === "Flag" ? [`config.${key}`, `config.${key}.text`] : [`config.${key}`]);
  assert.ok(problems.length > 10 && switches.length > 10, `${problems.length} ${switches.length}`);
  assert.deepEqual([...new Set([...problems, ...words, ...asks, ...switches])].filter((key) => !(key in table)), []);
});

test("the errors that a family meets have sentences, and so have the reasons why a file is left or cannot be shown", () => {
  const root = fileURLToPath(new URL("../../", import.meta.url));
  const table = JSON.parse(read("lang/de.json"));
  // What a terminal alone meets.
  const elsewhere = "PARTLY NO-SYSTEMD SERVICE NOT-CONFIRMED NODE-GONE INTERRUPTED INTERNAL".split(" ").map((id) => `E-${id}`);
  assert.ok("error.other" in table);
  const ids = [...readFileSync(`${root}docs/errors.md`, "utf8").matchAll(/^## (E-[A-Z-]+)/gm)].map(([, id]) => id);
  assert.ok(ids.length > 25 && elsewhere.every((id) => ids.includes(id)), `${ids.length}`);
  assert.deepEqual(ids.filter((id) => !elsewhere.includes(id) && !(`error.${id}` in table)), []);
  const source = (name) => readFileSync(`${root}node/src/${name}`, "utf8");
  const reasons = [
    // What a worker process met passes, and is tried again.
    ...source("media/mod.rs").split("pub enum Reason")[1].split("impl Reason")[0].matchAll(/#\[error\("(?!no worker|the worker)([^"]+)"\)\]/g),
    ...source("media/sniff/take.rs").split("pub fn reason")[1].split("})")[0].matchAll(/=> "([^"]+)"/g),
    ...source("import/scan.rs").split("fn reason(")[1].split("#[cfg")[0].matchAll(/"([^"]+)"/g),
  ].map(([, said]) => said);
  assert.equal(reasons.length, 16, reasons.join());
  const very = [...["api/followed.rs", "api/files.rs", "network/options.rs"].map(source).join("\n").matchAll(/\.why\("(\w+)"/g)].map(([, id]) => id);
  assert.ok(very.length > 5, very.join());
  assert.deepEqual(very.filter((id) => !(`error.E-USAGE.${id}` in table)), []);
  assert.deepEqual(reasons.filter((said) => !(`reason.${said}` in table)), []);
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
