// What the page asks of its node: JSON, acts with lines of JSON, and the stream of events.

/** What went wrong, in the node's words: an id that docs/errors.md explains, a message, a hint. */
export class Fault extends Error {
  /** @param {{id?: string, message?: string, hint?: string|null, safe?: string|null, devices?: string[], why?: {id: string, n: number}|null}} told
   *  @param {number} [status] of HTTP, 0 where none came */
  constructor(told, status = 0) {
    super(told.message || told.id || "E-NO-ANSWER");
    this.id = told.id || "E-NO-ANSWER";
    this.hint = told.hint || null;
    this.safe = told.safe || null;
    this.devices = told.devices || [];
    this.why = told.why || null;
    this.status = status;
  }
}

/** @type {Set<() => void>} */
const onLocked = new Set();
/** Calls back when the session has ended. @param {() => void} call */
export function whenLocked(call) { onLocked.add(call); }

/** @param {Response} answer @returns {Promise<Fault>} */
async function faultOf(answer) {
  if (answer.status === 401) for (const call of onLocked) call();
  let told = {};
  try { told = await answer.json(); } catch { /* an answer without words */ }
  return new Fault(told, answer.status);
}

/** @param {string} path @param {RequestInit} [how] */
async function ask(path, how) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", cache: "no-store", ...how });
  } catch (error) {
    if (how && how.signal && how.signal.aborted) throw error;
    throw new Fault({ id: "E-NO-ANSWER" });
  }
  if (!answer.ok) throw await faultOf(answer);
  return answer;
}

/** @param {string} path @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function get(path, signal) {
  return (await ask(path, { signal })).json();
}

const MARK = { "X-Heirloom": "1" };

/** @param {string} path @param {unknown} [body] @param {AbortSignal} [signal] @returns {Promise<Response>} */
export function post(path, body = {}, signal) {
  const headers = { ...MARK, "Content-Type": "application/json" };
  return ask(path, { method: "POST", headers, body: JSON.stringify(body), signal });
}

/**
 * Sends the bytes of one file; they stream from the disk.
 * @param {string} path @param {Blob} file @param {(sent: number) => void} progress @param {AbortSignal} signal
 * @returns {Promise<any>} the line of the file
 */
export function send(path, file, progress, signal) {
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("X-Heirloom", "1");
    request.upload.onprogress = (event) => progress(event.loaded);
    request.onload = () => {
      let told = {};
      try { told = JSON.parse(request.responseText); } catch { /* an answer without words */ }
      if (request.status === 401) for (const call of onLocked) call();
      if (request.status >= 200 && request.status < 300) done(told);
      else fail(new Fault(told, request.status));
    };
    request.onerror = () => fail(new Fault({ id: "E-NO-ANSWER" }));
    request.onabort = () => fail(new DOMException("taken back", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/** Reads lines of JSON as they come. @param {Response} answer @param {(line: any) => void} each */
async function lines(answer, each) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (answer.body).getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
    const parts = rest.split("\n");
    rest = parts.pop() || "";
    for (const part of parts) if (part) each(JSON.parse(part));
    if (done) break;
  }
  if (rest.trim()) each(JSON.parse(rest));
}

/**
 * Posts, hands every line on but the last, and gives the summary.
 * @param {string} path @param {unknown} body
 * @param {{line?: (line: any) => void, signal?: AbortSignal}} [how]
 */
export async function stream(path, body, how = {}) {
  const answer = await post(path, body, how.signal);
  /** @type {any} */
  let last = null;
  await lines(answer, (line) => {
    if (line.type === "summary" || line.type === "error") last = line;
    else if (how.line) how.line(line);
  });
  if (!last) throw new Fault({ id: "E-NO-ANSWER" });
  if (last.type === "error") throw new Fault(last);
  return last;
}

/** An act of the node's API. @param {string} name @param {object} [body]
 *  @param {{line?: (line: any) => void, signal?: AbortSignal}} [how] */
export function act(name, body = {}, how = {}) {
  return stream(`/api/v1/act/${name}`, body, how);
}

/** The lines of one type that an act answers with. @param {string} name @param {object} body
 *  @param {string} type @param {AbortSignal} [signal] @returns {Promise<any[]>} */
export async function rows(name, body, type, signal) {
  /** @type {any[]} */
  const all = [];
  await act(name, body, { line: (line) => { if (line.type === type) all.push(line); }, signal });
  return all;
}

/** Listens to the node. @param {Record<string, (told: any) => void>} on by name of the event
 *  @returns {() => void} ends it */
export function listen(on) {
  /** @type {EventSource|null} */
  let source = null;
  let again = 0;
  let wait = 500;
  let missed = false;
  const open = () => {
    source = new EventSource("/api/v1/events");
    source.onopen = () => {
      wait = 500;
      if (on.open) on.open(null);
      if (missed && on.changed) on.changed(null);
      missed = false;
    };
    source.onerror = () => {
      if (on.lost) on.lost(null);
      if (source && source.readyState === EventSource.CLOSED) {
        // It does not say whether this browser was turned away; a question does.
        get("/api/v1/state").catch(() => {});
        again = window.setTimeout(open, wait);
        wait = Math.min(wait * 2, 15000);
      }
    };
    for (const name of Object.keys(on)) {
      if (name === "open" || name === "lost") continue;
      source.addEventListener(name, (event) => {
        try { on[name](JSON.parse(/** @type {MessageEvent} */ (event).data)); } catch { /* not for this page */ }
      });
    }
  };
  // A browser keeps few connections to one address for all its tabs: who is not looked at gives up its own.
  const look = () => {
    window.clearTimeout(again);
    if (source) source.close();
    source = null;
    if (document.hidden) missed = true; else open();
  };
  document.addEventListener("visibilitychange", look);
  look();
  return () => { document.removeEventListener("visibilitychange", look); window.clearTimeout(again); if (source) source.close(); };
}
