// The page: a user's calls as they come, played and kept through links that live for minutes. No library, no build.

const KEY = "call-handler-token"; // sessionStorage: of this tab, gone when it closes
const AGAIN_MS = 1000; // how long to wait for word of a request before asking
const WITHIN_MS = 120_000;
const STATES = { completed: "Stored", processing: "Being stored", pending: "Waiting", failed: "Failed", erased: "Erased" };

const at = (id) => document.getElementById(id);
const calls = new Map(); // id -> call
const rows = new Map(); // id -> its row's parts
const waiting = new Map(); // id of a request -> whom to wake
let stream = null;
let playing = null;

class Refused extends Error {
  constructor(status, said) {
    super(said.message ?? `the server answered ${status}`);
    this.status = status;
    this.code = said.code;
  }
}

// Asking --------------------------------------------------------------------------------------------------------------

async function ask(path, options = {}) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(KEY)}` };
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { ...options, headers, cache: "no-store" });
  if (answer.ok) return answer;
  const refused = new Refused(answer.status, await answer.json().catch(() => ({})));
  if (answer.status === 401) signOut("This session is over, or never was. Sign in again.");
  throw refused;
}

async function request(path, body) {
  const answer = await ask(path, { method: "POST", body: JSON.stringify(body) });
  return ready(answer.headers.get("Location"), (await answer.json()).id);
}

async function ready(path, id) {
  for (const until = Date.now() + WITHIN_MS; Date.now() < until; ) {
    const word = wordOf(id); // before the question: nothing is missed in between
    const answer = await ask(path);
    const state = await answer.json();
    if (answer.status !== 202) return state;
    if (state.recordings_total) say(`Export: ${state.recordings_done} of ${state.recordings_total} recordings`);
    await word;
  }
  throw new Error("No link came within two minutes. Try again later.");
}

function wordOf(id) {
  return new Promise((wake) => {
    waiting.set(id, wake);
    setTimeout(wake, AGAIN_MS);
  }).finally(() => waiting.delete(id));
}

function reason() {
  const field = at("reason");
  if (field.value.trim()) return field.value.trim();
  field.focus();
  throw new Error("Say why first: the reason is kept on record.");
}

// Listening: fetch and not EventSource, which sends no header -----------------------------------------------------------

async function listen() {
  const mine = (stream = new AbortController());
  while (stream === mine) {
    try {
      const answer = await ask("/api/events", { signal: mine.signal });
      await read(answer.body.pipeThrough(new TextDecoderStream()).getReader());
    } catch (error) {
      if (error.status === 401 || mine.signal.aborted) return;
    }
    await new Promise((wake) => setTimeout(wake, AGAIN_MS));
  }
}

async function read(reader) {
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (text + value).split("\n\n");
    text = events.pop();
    for (const event of events) hear(Object.fromEntries(event.split("\n").map((line) => line.split(/: (.*)/s))));
  }
}

function hear({ event, data }) {
  if (event === "calls") show(JSON.parse(data));
  if (event === "request") waiting.get(JSON.parse(data).id)?.();
}

// Showing -------------------------------------------------------------------------------------------------------------

function make(kind, properties = {}, ...children) {
  const made = Object.assign(document.createElement(kind), properties);
  made.append(...children);
  return made;
}

function when(call) {
  return call.started_at ? new Date(call.started_at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : "unknown time";
}

function length(call) {
  if (call.duration_s === null) return "";
  return `${Math.floor(call.duration_s / 60)}:${String(call.duration_s % 60).padStart(2, "0")}`;
}

function named(call) {
  return `the call of ${when(call)}${call.from_number ? ` from ${call.from_number}` : ""}`;
}

function rowOf(call) {
  const name = named(call);
  const pick = make("input", { type: "checkbox", ariaLabel: `Select ${name}` });
  pick.addEventListener("change", picked);
  const play = make("button", { type: "button", textContent: "Play", ariaLabel: `Play ${name}` });
  play.addEventListener("click", () => attempt(play, () => start(calls.get(call.id))));
  const keep = make("button", { type: "button", textContent: "Download", ariaLabel: `Download ${name}` });
  keep.addEventListener("click", () => attempt(keep, () => download(calls.get(call.id))));
  const cells = Object.fromEntries(["when", "from", "to", "length", "status"].map((key) => [key, make("td")]));
  cells.status.dataset.status = "";
  const row = make("tr", {}, make("td", {}, pick), ...Object.values(cells), make("td", {}, make("div", { className: "acts" }, play, keep)));
  row.dataset.call = call.id;
  return { row, pick, play, keep, cells };
}

// Cells change where they are: whoever stands on a button keeps their place.
function show(changed) {
  for (const call of changed) {
    const before = calls.get(call.id);
    calls.set(call.id, call);
    const parts = rows.get(call.id) ?? rows.set(call.id, rowOf(call)).get(call.id);
    const { cells } = parts;
    cells.when.textContent = when(call);
    cells.from.textContent = call.from_number ?? "";
    cells.to.textContent = call.to_number ?? "";
    cells.length.textContent = length(call);
    const status = STATES[call.recording_status] ?? "None";
    cells.status.textContent = call.error_code && call.recording_status !== "completed" ? `${status} (${call.error_code})` : status;
    cells.status.className = call.recording_status ?? "";
    const isThere = call.recording_status === "completed";
    for (const control of [parts.pick, parts.play, parts.keep]) control.disabled = !isThere;
    if (before && before.recording_status !== call.recording_status) say(`${status}: ${named(call)}`);
    if (!before && rows.size > changed.length) say(`New: ${named(call)}`);
  }
  order();
  at("none").hidden = calls.size > 0;
  picked();
}

function order() {
  const time = (call) => (call.started_at ? Date.parse(call.started_at) : Infinity);
  const sorted = [...calls.values()].sort((a, b) => time(b) - time(a) || (a.id < b.id ? 1 : -1));
  const body = at("calls");
  sorted.forEach((call, place) => {
    const { row } = rows.get(call.id);
    if (body.children[place] !== row) body.insertBefore(row, body.children[place] ?? null);
  });
}

function chosen() {
  return [...rows].filter(([, parts]) => parts.pick.checked && !parts.pick.disabled).map(([id]) => id);
}

function picked() {
  const count = chosen().length;
  const possible = [...rows.values()].filter((parts) => !parts.pick.disabled).length;
  at("export").disabled = count === 0;
  at("export").textContent = count ? `Export ${count} selected` : "Export selected";
  at("all").checked = count > 0 && count === possible;
  at("all").indeterminate = count > 0 && count < possible;
}

function say(text) {
  at("live").textContent = text;
}

async function attempt(button, act) {
  at("problem").textContent = "";
  button.setAttribute("aria-busy", "true");
  try {
    await act();
  } catch (error) {
    if (error.status !== 401) at("problem").textContent = error.message; // of that, signing out has told
    say("");
  } finally {
    button.removeAttribute("aria-busy");
  }
}

// Playing and keeping -------------------------------------------------------------------------------------------------

async function start(call, from = 0) {
  const why = reason();
  say(`Getting ${named(call)} …`);
  const { url } = await request(`/api/calls/${call.id}/download`, { reason: why });
  const audio = at("audio");
  playing = { call, since: Date.now() };
  at("player").hidden = false;
  at("player-title").textContent = `Playing ${named(call)}`;
  audio.src = url;
  audio.currentTime = from;
  if (!from) audio.focus();
  await audio.play();
  say(`Playing ${named(call)}`);
}

// A link lives for minutes: whoever pauses longer, and goes on, gets another one.
function renew() {
  const audio = at("audio");
  if (!playing || !audio.getAttribute("src")) return;
  const { call, since } = playing;
  playing = null;
  if (audio.error?.code === MediaError.MEDIA_ERR_NETWORK || Date.now() - since > 10_000) {
    attempt(audio, () => start(call, audio.currentTime));
  } else {
    at("problem").textContent = "This recording cannot be played here. Download it instead.";
  }
}

function save(url) {
  const link = make("a", { href: url, download: "", rel: "noreferrer" });
  document.body.append(link);
  link.click();
  link.remove();
}

async function download(call) {
  const why = reason();
  say(`Getting ${named(call)} …`);
  save((await request(`/api/calls/${call.id}/download`, { reason: why })).url);
  say(`Downloading ${named(call)}`);
}

async function exportChosen() {
  const wanted = { reason: reason(), call_ids: chosen() };
  say(`Export of ${wanted.call_ids.length} recordings has begun …`);
  save((await request("/api/exports", wanted)).url);
  say("The export is ready, and is being downloaded.");
}

// Coming and going ----------------------------------------------------------------------------------------------------

async function enter() {
  const me = await (await ask("/api/me")).json();
  at("who").textContent = me.organization;
  at("desk-title").textContent = `Calls of ${me.organization}`;
  document.title = `Calls of ${me.organization}`;
  at("export").hidden = !me.exports;
  show((await (await ask("/api/calls?limit=200")).json()).calls);
  at("entrance").hidden = true;
  for (const id of ["desk", "who", "sign-out"]) at(id).hidden = false;
  at("desk-title").focus();
  listen();
}

function signOut(why = "") {
  stream?.abort();
  stream = playing = null;
  sessionStorage.removeItem(KEY);
  calls.clear();
  rows.clear();
  at("calls").replaceChildren();
  at("audio").removeAttribute("src");
  at("audio").load();
  for (const id of ["desk", "who", "sign-out", "player"]) at(id).hidden = true;
  at("entrance").hidden = false;
  at("problem").textContent = why;
  document.title = "Call recordings";
  at("token").focus();
}

at("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, at("token").value.trim());
  at("token").value = "";
  attempt(event.submitter ?? at("token"), enter);
});
at("sign-out").addEventListener("click", () => signOut());
at("export").addEventListener("click", (event) => attempt(event.currentTarget, exportChosen));
at("all").addEventListener("change", (event) => {
  for (const { pick } of rows.values()) if (!pick.disabled) pick.checked = event.currentTarget.checked;
  picked();
});
at("audio").addEventListener("error", renew);
if (sessionStorage.getItem(KEY)) attempt(at("sign-out"), enter);
