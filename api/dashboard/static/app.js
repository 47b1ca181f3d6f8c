// Fills index.html from the API. What is shown, and from which field, stands there; how, stands here.

const API = new URL("../analytics/", document.baseURI);
const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC";
const REFRESH_SECONDS = 15;
/** A stream tells something every second; one that is silent for so long is broken. */
const SILENCE_SECONDS = 10;
const LONGEST_PAUSE_SECONDS = 30;
/** Of countries, sources and so on; the others are added up. */
const MOST_SHARES = 8;
const STORED = "videocloud-key";

const byId = (id) => document.getElementById(id);
const sections = [...document.querySelectorAll("main [data-answer]:not([data-stream])")];
const live = document.querySelector("[data-stream]");
const dialog = byId("video");

// --- Writing values -------------------------------------------------------------------------------------

const plain = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const signed = new Intl.NumberFormat(undefined, {
  style: "percent",
  maximumFractionDigits: 1,
  signDisplay: "exceptZero",
});

const duration = (seconds) => {
  if (seconds < 60) return `${plain.format(seconds)} s`;
  if (seconds < 3600) return `${plain.format(seconds / 60)} min`;
  return `${short.format(seconds / 3600)} h`;
};

const FORMS = {
  text: String,
  count: (value) => (value < 1e6 ? plain : short).format(value),
  share: (value) => percent.format(value),
  change: (value) => signed.format(value),
  seconds: duration,
  milliseconds: (value) => `${plain.format(value)} ms`,
};

const fieldOf = (data, path) => path.split(".").reduce((at, name) => at?.[name], data) ?? null;

/** Write where a bar stands: an instant, a day, or the number of an hour of the day. */
function moment(label) {
  if (typeof label === "number") return `${label}:00`;
  return label.includes("T")
    ? new Date(label).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" })
    : label;
}

function write(element, data) {
  const { field, as = "text" } = element.dataset;
  let value = fieldOf(data, field);
  // A title may be empty.
  if (element.dataset.else) value ||= fieldOf(data, element.dataset.else);
  element.textContent = value === null ? "–" : FORMS[as](value);
  if (as === "change") {
    element.classList.toggle("up", value > 0);
    element.classList.toggle("down", value < 0);
    element.title = "against the period before";
  }
  if (element.dataset.video) element.value = fieldOf(data, element.dataset.video);
}

function writeRows(body, rows) {
  const template = body.querySelector("template");
  const made = rows.map((row, at) => {
    // A row that stays keeps the focus, and a click during an update.
    const one = body.rows[at] ?? template.content.cloneNode(true).firstElementChild;
    one.querySelectorAll("[data-field]").forEach((cell) => write(cell, row));
    return one;
  });
  for (const old of [...body.rows].slice(made.length)) old.remove();
  for (const one of made) if (!one.isConnected) body.append(one);
}

const sumOf = (entries) => entries.reduce((sum, [, count]) => sum + count, 0);

function writeShares(body, counts) {
  // The API tells the most first.
  const entries = Object.entries(counts);
  const shown = entries.slice(0, MOST_SHARES);
  const others = entries.slice(MOST_SHARES);
  if (others.length) shown.push([`${others.length} others`, sumOf(others)]);
  const all = sumOf(entries) || 1;
  const made = shown.map(([name, count]) => {
    const row = document.createElement("tr");
    const bar = Object.assign(document.createElement("progress"), { max: all, value: count });
    bar.setAttribute("aria-label", percent.format(count / all));
    for (const content of [name, bar, FORMS.count(count)]) row.insertCell().append(content);
    return row;
  });
  body.replaceChildren(...made);
}

function writeBars(svg, points) {
  const { label, value, goesOn } = svg.dataset;
  const most = Math.max(1, ...points.map((point) => point[value] ?? 0));
  svg.setAttribute("viewBox", `0 0 ${Math.max(1, points.length)} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${points.length} bars, at most ${FORMS.count(most)}`);
  const ends = [points.at(0), points.at(-1)].map((point) => (point ? moment(point[label]) : ""));
  const below = [ends[0], `at most ${FORMS.count(most)}`, ends[1]].map((text) =>
    Object.assign(document.createElement("span"), { textContent: text }),
  );
  svg.parentElement.querySelector(".axis").replaceChildren(...below);
  const made = points.map((point, at) => {
    const bar = document.createElementNS(svg.namespaceURI, "rect");
    const height = (100 * (point[value] ?? 0)) / most;
    const place = { x: at + 0.1, y: 100 - height, width: 0.8, height };
    for (const [name, each] of Object.entries(place)) bar.setAttribute(name, each);
    // The last one of a timeline is not over.
    bar.classList.toggle("running", goesOn !== undefined && at === points.length - 1);
    const title = document.createElementNS(svg.namespaceURI, "title");
    title.textContent = `${moment(point[label])}: ${FORMS.count(point[value] ?? 0)}`;
    bar.append(title);
    return bar;
  });
  svg.replaceChildren(...made);
}

function show(section, data) {
  section.querySelectorAll("[data-field]").forEach((element) => {
    if (!element.closest("[data-rows]")) write(element, data);
  });
  section.querySelectorAll("[data-rows]").forEach((body) => writeRows(body, fieldOf(data, body.dataset.rows) ?? []));
  section
    .querySelectorAll("[data-shares]")
    .forEach((body) => writeShares(body, fieldOf(data, body.dataset.shares) ?? {}));
  section.querySelectorAll("[data-bars]").forEach((svg) => writeBars(svg, fieldOf(data, svg.dataset.bars) ?? []));
  complain(section, "");
}

/** Say what is wrong with a section; what it showed stays, as old. */
function complain(section, text) {
  const problem = section.querySelector(".problem");
  problem.textContent = text;
  problem.hidden = !text;
  section.classList.toggle("stale", Boolean(text));
}

function status(text, kind = "") {
  byId("status").textContent = text;
  byId("status").className = kind;
}

// --- Asking ---------------------------------------------------------------------------------------------

class Refused extends Error {
  constructor(code, message, requestId, wait) {
    super(message);
    Object.assign(this, { code, requestId, wait });
  }
}

/** Empty: none is needed, or it is not known yet whether one is; null: wait for one. */
let key = "";
let period = "7d";

/** Return the response to a question; an error of the API is thrown as `Refused`. */
async function ask(path, parameters, signal) {
  const url = new URL(path, API);
  url.search = new URLSearchParams(parameters);
  const response = await fetch(url, { headers: key ? { Authorization: `Bearer ${key}` } : {}, signal });
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({}));
  throw new Refused(
    response.status,
    error?.message ?? `The server answered ${response.status}.`,
    error?.details?.requestId,
    Number(response.headers.get("Retry-After")) || 0,
  );
}

/** Return what to tell of an error; without a key that opens the API, ask for another one. */
function reason(error) {
  if (!(error instanceof Refused)) return "The API cannot be reached.";
  if (error.code === 401) askForKey(key ? error.message : "");
  return error.requestId ? `${error.message} (request ${error.requestId})` : error.message;
}

/** Fill a section for the chosen period; return how many seconds the API wants the next question to wait. */
async function fill(section, path, signal) {
  try {
    const { data } = await (await ask(path, { period, timezone: ZONE }, signal)).json();
    show(section, data);
    return 0;
  } catch (error) {
    if (signal.aborted) return 0;
    complain(section, reason(error));
    return error.wait ?? 0;
  }
}

/** Yield what a stream of server-sent events tells, as `{event, data}`. */
async function* eventsOf(response) {
  // Not every browser can iterate over a stream.
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value.replaceAll("\r", "");
    const whole = text.split("\n\n");
    text = whole.pop();
    for (const each of whole) {
      const fields = { event: "message", data: "" };
      for (const line of each.split("\n")) {
        const [, name, content] = /^(event|data): ?(.*)$/.exec(line) ?? [];
        if (name) fields[name] = content;
      }
      yield fields;
    }
  }
}

async function listen(signal) {
  const broken = new AbortController();
  const end = AbortSignal.any([signal, broken.signal]);
  let silence = 0;
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => broken.abort(), SILENCE_SECONDS * 1000);
  };
  try {
    heard();
    for await (const { event, data } of eventsOf(await ask("live/stream", {}, end))) {
      heard();
      if (event === "live") {
        show(live, JSON.parse(data).data);
        status(`Live, ${new Date().toLocaleTimeString()}, ${ZONE}`, "live");
      } else if (event === "error") {
        complain(live, JSON.parse(data).error.message);
        status("No live numbers", "away");
      }
    }
  } finally {
    clearTimeout(silence);
  }
}

// --- Going on -------------------------------------------------------------------------------------------

/** Ends what is under way; there is another one while the page is seen and has a key. */
let running = new AbortController();
let asked = new AbortController();
let opened = new AbortController();
let timer = 0;

async function keepListening(signal) {
  for (let pause = 1; !signal.aborted; pause = Math.min(2 * pause, LONGEST_PAUSE_SECONDS)) {
    const began = Date.now();
    try {
      await listen(signal);
    } catch (error) {
      if (signal.aborted) return;
      complain(live, reason(error));
      pause = Math.max(pause, error.wait ?? 0);
    }
    if (signal.aborted) return;
    status("Connecting again", "away");
    if (Date.now() - began > LONGEST_PAUSE_SECONDS * 1000) pause = 1;
    await new Promise((resolve) => setTimeout(resolve, pause * 1000));
  }
}

async function refresh() {
  asked.abort();
  asked = new AbortController();
  clearTimeout(timer);
  const { signal } = asked;
  const waits = await Promise.all(sections.map((each) => fill(each, each.dataset.answer, signal)));
  if (!signal.aborted) timer = setTimeout(refresh, 1000 * Math.max(REFRESH_SECONDS, ...waits));
}

function stop() {
  running.abort();
  asked.abort();
  clearTimeout(timer);
}

function start() {
  stop();
  if (key === null || document.hidden) return;
  document.querySelector("main").hidden = false;
  byId("key").hidden = true;
  running = new AbortController();
  keepListening(running.signal);
  refresh();
}

function askForKey(why) {
  stop();
  key = null;
  sessionStorage.removeItem(STORED);
  document.querySelector("main").hidden = true;
  dialog.close();
  byId("refused").textContent = why;
  byId("key").hidden = false;
  status("Needs a key");
}

function useKey(text) {
  // Anything else cannot be a header, so fetch would fail without saying why.
  if (!/^[\x21-\x7e]+$/.test(text)) return askForKey("A key is made of letters, digits and signs, without spaces.");
  key = text;
  sessionStorage.setItem(STORED, key);
  return start();
}

byId("key").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(new FormData(event.target).get("key").trim());
  event.target.reset();
});
byId("forget").addEventListener("click", () => askForKey(""));
byId("period").addEventListener("change", (event) => {
  period = event.target.value;
  if (key !== null) refresh();
});
document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
document.addEventListener("click", ({ target }) => {
  if (!target.dataset.video) return;
  const section = dialog.querySelector("section");
  section.querySelector("h2").textContent = target.textContent;
  show(section, {});
  dialog.showModal();
  // An answer about the video before must not be shown as this one's.
  opened.abort();
  opened = new AbortController();
  const signal = AbortSignal.any([running.signal, opened.signal]);
  fill(section, `videos/${encodeURIComponent(target.value)}`, signal);
});

// `make up` prints an address with the key behind the #, which browsers do not send.
const given = new URLSearchParams(location.hash.slice(1)).get("key");
if (given !== null) history.replaceState(null, "", location.pathname + location.search);
byId("period").elements.period.value = period;
const stored = given ?? sessionStorage.getItem(STORED);
if (stored === null) start();
else useKey(stored);
