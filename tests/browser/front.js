// A node with a long timeline in front of it: three answers are made up, everything else is the node's.
import { createServer, request } from "node:http";
import { told } from "./rows.js";

/** Rows of one month, as the node would tell them. @param {any} table @param {string} name */
export function monthOf(table, name) {
  const one = table.months.find((month) => month.m === name);
  const assets = [];
  for (const [day, count] of one.days) {
    for (let nth = 0; nth < count; nth += 1) {
      const id = Buffer.from(`${name}-${day}-${nth}`).toString("hex").padStart(64, "0");
      assets.push({ id, t: `${name}-${String(day).padStart(2, "0")}T12:00:00`, o: null, k: "photo", w: 4000, h: 3000, d: null, n: `${name}-${day}-${nth}.jpg`, c: null, f: false, h1: true, copies: 2, p: null, pv: "made", by: "Anna" });
    }
  }
  return { version: 1, assets };
}

/**
 * Stands before a node and answers for its timeline, months and thumbnails; a proxy for all else.
 * @param {string} gallery the node's address @param {number} count photos @param {Buffer[]} thumbs JPEGs
 * @returns {Promise<{address: string, end: () => Promise<void>}>}
 */
export function front(gallery, count, thumbs) {
  const table = told(count);
  const whole = JSON.stringify(table);
  const months = new Map(table.months.map((month) => [month.m, JSON.stringify(monthOf(table, month.m))]));
  const to = new URL(gallery);
  const server = createServer((asked, answer) => {
    const url = new URL(asked.url, gallery);
    const month = /^\/api\/v1\/month\/([\w-]+)$/.exec(url.pathname);
    const json = { "content-type": "application/json", "cache-control": "private, no-store" };
    if (url.pathname === "/api/v1/timeline") return answer.writeHead(200, json).end(whole);
    if (month) return answer.writeHead(200, json).end(months.get(month[1]));
    if (url.pathname.startsWith("/thumb/")) {
      const sum = [...url.pathname].reduce((all, one) => all + one.charCodeAt(0), 0);
      return answer.writeHead(200, { "content-type": "image/jpeg", "cache-control": "private, immutable" }).end(thumbs[sum % thumbs.length]);
    }
    const headers = { ...asked.headers, host: to.host };
    if (headers.origin) headers.origin = to.origin;
    const on = request(gallery, { path: asked.url, method: asked.method, headers }, (got) => {
      answer.writeHead(got.statusCode, got.rawHeaders);
      got.pipe(answer);
    });
    on.on("error", () => answer.destroy());
    answer.on("close", () => on.destroy());
    asked.pipe(on);
  });
  return new Promise((done) => {
    server.listen(0, "127.0.0.1", () => done({
      address: `http://127.0.0.1:${server.address().port}`,
      end: () => new Promise((ended) => { server.close(() => ended()); server.closeAllConnections(); }),
    }));
  });
}
