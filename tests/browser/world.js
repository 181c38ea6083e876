// Real nodes in processes of their own, on loopback, and a real browser that looks at them.
import { spawn, execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../", import.meta.url));
/** The program that is tested. */
export const PROGRAM = process.env.HEIRLOOM_PROGRAM || `${root}target/debug/heirloom`;
const CHROMIUM = process.env.CHROMIUM || "/usr/bin/chromium";
/** What anything takes at most on a busy machine, in milliseconds. */
export const PATIENCE = Number(process.env.HEIRLOOM_PATIENCE || 60000);

const axe = readFileSync(fileURLToPath(new URL("node_modules/axe-core/axe.min.js", import.meta.url)), "utf8");

/** A home in a folder of its own, and the node on it. */
export class Home {
  /** @param {string} [path] of a home that is there already, and stays */
  constructor(path) {
    this.folder = mkdtempSync(join(tmpdir(), "heirloom-browser-"));
    this.path = path || join(this.folder, "home");
    this.env = { ...process.env, HEIRLOOM_HOME: this.path, HOME: this.folder, XDG_CONFIG_HOME: this.folder, LANG: "C.UTF-8" };
  }
  /** Runs a command to its end and gives its lines of JSON. */
  async command(args, input = "") {
    const running = run(PROGRAM, ["--json", "--yes", ...args], { env: this.env, maxBuffer: 1 << 26 });
    // A command that asks nothing may end before this is written.
    running.child.stdin.on("error", () => {});
    running.child.stdin.end(input);
    const { stdout } = await running;
    return stdout.trim().split("\n").map((line) => JSON.parse(line));
  }
  /** Starts the node; resolves with its `ready` line. @param {string[]} [more] arguments */
  serve(more = []) {
    const args = ["--json", "serve", "--no-discovery", "--listen", "/ip4/127.0.0.1/tcp/0", ...more];
    this.node = spawn(PROGRAM, args, { env: this.env, stdio: ["ignore", "pipe", "pipe"] });
    this.said = "";
    return new Promise((done, fail) => {
      let text = "";
      this.node.stderr.on("data", (some) => { this.said += some; });
      this.node.stdout.on("data", (some) => {
        text += some;
        for (const line of text.split("\n").slice(0, -1)) {
          const told = JSON.parse(line);
          if (told.type === "ready") { this.ready = told; done(told); }
        }
        text = text.slice(text.lastIndexOf("\n") + 1);
      });
      this.node.on("exit", (code) => fail(new Error(`the node ended with ${code}: ${this.said}`)));
    });
  }
  /** A one-time address of the gallery. */
  async link() {
    const lines = await this.command(["open", "--print"]);
    return lines.find((line) => line.url).url;
  }
  async end() {
    if (this.node && this.node.exitCode === null) {
      const ended = new Promise((done) => this.node.once("exit", done));
      this.node.kill("SIGTERM");
      await ended;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Has a device join a family: `whom` is what `heirloom invite` takes. Both nodes run.
 *  @param {Home} from @param {string[]} whom @param {Home} to @param {string} name of the new device */
export async function pair(from, whom, to, name) {
  const invite = spawn(PROGRAM, ["--json", "--yes", "invite", ...whom], { env: from.env, stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((done) => invite.on("exit", done));
  const code = await new Promise((done, fail) => {
    let text = "";
    invite.stdout.on("data", (some) => {
      text += some;
      const lines = text.split("\n").slice(0, -1).map((line) => JSON.parse(line));
      const told = lines.find((line) => line.code);
      if (told) done(told.code);
    });
    ended.then(() => fail(new Error(`no code: ${text}`)));
  });
  await to.command(["join", "--no-recovery", "--device", name, "-"], `${code}\n`);
  if (await ended !== 0) throw new Error("the invite did not come to its end");
}

export const launch = () => chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });

/** Photos from other cameras than ours, where they are at hand: the path of one, or none. @param {string} name */
export function corpus(name) {
  const path = join(process.env.HEIRLOOM_PHOTOS || `${root}../shared/photos`, name);
  return existsSync(path) ? path : null;
}

/** A page that holds what must hold on every page: no violation, no error, no request to elsewhere. */
export async function look(browser, options = {}, host = "127.0.0.1") {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-GB", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.wrong = [];
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "blob:" && url.hostname !== host) page.wrong.push(`request to ${url.host}`);
  });
  page.on("pageerror", (error) => page.wrong.push(error.stack || String(error)));
  page.on("console", (message) => {
    if (/Content Security Policy|TrustedHTML|TrustedScript/.test(message.text())) page.wrong.push(message.text());
  });
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  return page;
}

/** Opens the page by a fresh link. Who goes on before the link was exchanged for a session has none. */
export async function enter(page, home) {
  await page.goto(await home.link());
  await page.locator(".rail").waitFor();
}

/** Fails with everything that was wrong on a page. */
export async function holds(page, assert) {
  const violations = await page.evaluate(() => window.violations);
  assert.deepEqual([...page.wrong, ...violations], []);
}

/** What axe-core finds, in words. It is evaluated by the test, beside the page's policy. */
export async function findings(page) {
  // What fades or moves is looked at when it stands still.
  await page.evaluate(() => Promise.all(document.getAnimations().filter((one) => one.effect.getComputedTiming().iterations !== Infinity).map((one) => one.finished.catch(() => {}))));
  await page.evaluate(axe);
  return page.evaluate(async () => {
    const found = await window.axe.run(document, { resultTypes: ["violations"] });
    return found.violations.flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.target.join(" ")}: ${node.failureSummary}`));
  });
}

/** A picture of its own for each number: PNG, made without any help. */
export async function pictures(browser, count, from = 0) {
  const page = await browser.newPage();
  const made = [];
  for (let nth = from; nth < from + count; nth += 1) {
    const [width, height] = nth % 3 === 1 ? [600, 900] : [960, 640];
    const text = await page.evaluate(([w, h, n]) => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [w, h];
      const brush = canvas.getContext("2d");
      const sky = brush.createLinearGradient(0, 0, w, h);
      sky.addColorStop(0, `hsl(${(n * 47) % 360} 60% 70%)`);
      sky.addColorStop(1, `hsl(${(n * 47 + 60) % 360} 50% 30%)`);
      brush.fillStyle = sky;
      brush.fillRect(0, 0, w, h);
      brush.fillStyle = "#fff";
      brush.font = "120px serif";
      brush.fillText(String(n), 60, h / 2);
      return canvas.toDataURL("image/jpeg", 0.9).split(",")[1];
    }, [width, height, nth]);
    made.push({ name: `IMG_20120512_1203${String(10 + (nth % 50))}.jpg`, mimeType: "image/jpeg", buffer: Buffer.from(text, "base64") });
  }
  await page.close();
  return made;
}

