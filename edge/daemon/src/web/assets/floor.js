// The live floor: puts each view and each fact of the event stream into the page.

import { clock, count, now, setNow, span } from "./page.js";

const ROWS_MAX = 60;
const SILENCE_MAX = 12_000; // the edge ticks every 5 s

const id = (name) => document.getElementById(name);
const first = JSON.parse(id("first").textContent);
const put = (node, text) => { if (node && node.textContent !== text) node.textContent = text; };
const field = (node, name) => node.querySelector(`[data-f="${name}"]`);
const ms = (micros) => micros / 1000;

// ---- the view -------------------------------------------------------------------------------------------------

let view = first.view;
const reads = []; // how many, at each of the last seconds

function render() {
  put(id("problem"), view.problem ? `Nothing can be recorded at the moment: ${view.problem}. Scanners keep their scans.` : "");
  id("problem").hidden = !view.problem;
  renderTotals();
  view.zones.forEach(renderZone);
  view.portals.forEach(renderPortal);
  view.devices.forEach(renderDevice);
  view.robots.forEach(renderRobot);
  renderTransports();
  const down = view.devices.filter((device) => !device.up).length;
  put(id("devices-count"), down ? `${down} of ${view.devices.length} down` : "all up");
  view.followers.forEach(renderFollower);
  const stuck = view.followers.filter((follower) => follower.trouble).length;
  put(id("followers-count"), stuck ? `${stuck} of ${view.followers.length} in trouble` : "all well");
  renderDoubts();
}

function renderTotals() {
  const open = view.discrepancies.length;
  const rate = reads.length > 1 ? Math.max(0, Math.round((reads.at(-1) - reads[0]) / (reads.length - 1))) : "–";
  const totals = { ...view.totals, open, rate, facts: view.facts };
  for (const node of document.querySelectorAll("[data-total]")) put(node, count(totals[node.dataset.total]));
  document.querySelector('[data-total="open"]').dataset.tone = open ? "warn" : "";
}

function renderZone(zone, at) {
  const node = document.querySelector(`.zone[data-zone="${at}"]`);
  if (!node) return;
  put(field(node, "tags"), count(zone.tags));
  put(field(node, "book"), count(zone.book));
  put(field(node, "differ"), zone.discrepancies ? `${zone.discrepancies} differ` : "");
  node.dataset.state = zone.discrepancies ? "differ" : zone.tags || zone.book ? "even" : "empty";
}

const lastPassed = new Map();

function renderPortal(portal, at) {
  for (const node of document.querySelectorAll(`[data-portal="${at}"]`)) {
    for (const name of ["inwards", "outwards", "turned_back"]) put(field(node, name), count(portal[name]));
    put(field(node, "last"), portal.last === null ? "never" : clock(ms(portal.last)));
    put(field(node, "tags"), portal.tags ? String(portal.tags) : "");
    node.classList.toggle("busy", portal.tags > 0);
    const passed = `${portal.inwards}/${portal.outwards}/${portal.turned_back}`;
    if (lastPassed.has(node) && lastPassed.get(node) !== passed) pulse(node);
    lastPassed.set(node, passed);
  }
}

function pulse(node) {
  node.classList.remove("pulse");
  void node.offsetWidth; // so that the animation begins anew
  node.classList.add("pulse");
}

/** A belt that stands, in words. */
const BELT = {
  stopped: "stopped by its own controls",
  estop: "stopped by its emergency stop: only the machine's own people clear it",
};

function renderDevice(device, at) {
  const node = document.querySelector(`[data-device="${at}"]`);
  if (!node) return;
  const never = device.since === null;
  const stands = device.up ? BELT[device.belt] : undefined;
  node.dataset.state = stands ? "stands" : device.up ? "up" : never ? "never" : "down";
  const since = never ? "never up" : `${device.up ? "up" : "down"} ${span(now() - ms(device.since))}`;
  put(field(node, "state"), stands ? "belt stands" : since);
  for (const name of ["count", "faults", "malformed", "downs"]) {
    const value = field(node, name);
    put(value, count(device[name]));
    value.dataset.tone = name !== "count" && device[name] ? "warn" : "";
  }
  const error = field(node, "last_error");
  put(error, stands ?? device.last_error ?? "no errors");
  error.title = device.last_error ?? "";
  const warmth = device.temperature_c === null ? null : `${device.temperature_c} °C`;
  put(field(node, "note"), [warmth, device.note].filter((word) => word).join(", "));
}

function renderFollower(follower, at) {
  const node = document.querySelector(`[data-follower="${at}"]`);
  if (!node) return;
  node.dataset.state = follower.trouble ? "down" : "up";
  put(field(node, "state"), follower.behind ? `${count(follower.behind)} behind` : "up to date");
  put(field(node, "trouble"), follower.trouble ?? "");
  put(field(node, "left_out"), follower.left_out ? `${count(follower.left_out)} left out: too large for it` : "");
}

function renderRobot(robot, at) {
  const state = !robot.up ? "away" : robot.waits ? "waits" : "works";
  for (const node of document.querySelectorAll(`[data-robot="${at}"]`)) {
    node.dataset.state = state;
    if (node.classList.contains("robot")) {
      renderOnPlan(robot, node);
      continue;
    }
    put(field(node, "does"), robot.does);
    put(field(node, "charge"), robot.charge === null ? "" : `${robot.charge} %`);
    put(field(node, "waits"), robot.waits ?? "");
    const left = field(node, "emptied");
    left.hidden = robot.carries === null || robot.transport !== null;
    const button = left.querySelector("button");
    const path = `/api/robots/${encodeURIComponent(robot.code)}/emptied`;
    button.onclick ??= () => say(path, button, left.querySelector("output")).then(() => { button.disabled = false; });
  }
}

function renderOnPlan(robot, node) {
  const plan = node.parentNode.dataset;
  const title = `${robot.code} ${robot.does}${robot.waits ? `, ${robot.waits}` : ""}`;
  node.toggleAttribute("data-load", robot.carries !== null);
  node.title = title;
  node.setAttribute("aria-label", title);
  node.hidden = robot.position === null;
  if (robot.position === null) return;
  const [x, y] = robot.position;
  node.style.left = `${(100 * (x - plan.left)) / plan.width}%`;
  node.style.top = `${(100 * (y - plan.top)) / plan.height}%`;
}

const STATES = { planned: "waits for a robot", assigned: "is fetched by", loaded: "is on" };

function renderTransports() {
  const list = id("transports");
  if (!list) return;
  const known = new Map([...list.children].map((node) => [node.dataset.id, node]));
  const open = view.transports;
  put(id("transports-count"), open.length ? `${open.length} to bring` : "nothing to bring");
  for (const transport of open) {
    const node = known.get(transport.id) ?? newTransport(transport);
    known.delete(transport.id);
    const state = transport.recalled ? "is being cancelled" : `${STATES[transport.state]} ${transport.robot ?? ""}`.trim();
    const since = `${state}, ${span(now() - ms(transport.since))}`;
    put(field(node, "state"), transport.waits ? `${since}: ${transport.waits}` : since);
    if (!node.parentNode) list.append(node);
  }
  for (const gone of known.values()) gone.remove();
}

function newTransport(transport) {
  const node = id("transport-row").content.firstElementChild.cloneNode(true);
  node.dataset.id = transport.id;
  put(field(node, "id"), transport.id);
  field(node, "id").href = `/item/${encodeURIComponent(transport.id)}`;
  put(field(node, "way"), `${transport.from} → ${transport.to}`);
  const button = node.querySelector("button");
  button.setAttribute("aria-label", `Cancel transport ${transport.id}`);
  const path = `/api/transports/${encodeURIComponent(transport.id)}/cancel`;
  button.addEventListener("click", () => say(path, button, node.querySelector("output")));
  return node;
}

function renderDoubts() {
  const list = id("doubts");
  const known = new Map([...list.children].map((node) => [node.dataset.id, node]));
  const open = view.discrepancies;
  put(id("doubts-count"), open.length ? `${open.length} open` : "none open");
  id("doubts-none").hidden = open.length > 0;
  // The urgent ones first; else the oldest first, so that a new one moves nothing that a finger is aiming at.
  const ordered = [...open.filter((o) => o.action === "alarm"), ...open.filter((o) => o.action !== "alarm")];
  for (const doubt of ordered) {
    const key = String(doubt.id);
    const node = known.get(key) ?? newDoubt(doubt);
    known.delete(key);
    put(field(node, "confidence"), `${Math.floor(doubt.confidence / 10)} %`);
    put(field(node, "since"), span(now() - ms(doubt.since)));
    put(field(node, "reason"), doubt.words.reason);
    if (!node.parentNode) doubt.action === "alarm" ? list.prepend(node) : list.append(node);
  }
  for (const gone of known.values()) gone.remove();
}

function newDoubt(doubt) {
  const node = id("doubt-row").content.firstElementChild.cloneNode(true);
  node.dataset.id = doubt.id;
  node.dataset.action = doubt.action;
  for (const name of ["headline", "sentence", "wanted"]) put(field(node, name), doubt.words[name]);
  field(node, "headline").href = `/item/${doubt.epc}`;
  const button = node.querySelector("button");
  button.setAttribute("aria-label", `Take the radio's word: ${doubt.words.headline}`);
  button.addEventListener("click", () => settle(doubt.id, button, node.querySelector("output")));
  return node;
}

/** Takes the radio's word. The row goes once the view says that the discrepancy is settled. */
const settle = (doubt, button, output) => say(`/api/discrepancies/${doubt}/settle`, button, output, "Settled already");

/** Posts what a button stands for; the view shows what comes of it. */
async function say(path, button, output, gone = "Over already") {
  button.disabled = true;
  put(output, "Recording…");
  try {
    const answer = await fetch(path, { method: "POST" });
    if (answer.ok || answer.status === 404) return put(output, answer.ok ? "Recorded" : gone);
    const problem = await answer.json();
    put(output, `Not recorded: ${problem.detail}`);
  } catch {
    put(output, "Not recorded: no connection to the edge");
  }
  button.disabled = false;
}

// ---- the facts ------------------------------------------------------------------------------------------------

const list = id("facts");
let newest = 0;
let waiting = [];

function factRow(fact) {
  const node = id("fact-row").content.firstElementChild.cloneNode(true);
  const time = node.querySelector("time");
  node.dataset.seq = fact.seq;
  node.dataset.tone = fact.tone;
  time.dateTime = new Date(ms(fact.at)).toISOString();
  put(time, clock(ms(fact.at)));
  time.dataset.local = "";
  put(field(node, "text"), fact.text);
  put(field(node, "why"), fact.why ?? "");
  if (fact.item) field(node, "text").href = `/item/${encodeURIComponent(fact.item)}`;
  return node;
}

/** Puts waiting facts on top, all at once for each frame: a busy sorter is no reason to stutter. */
function showFacts(fresh) {
  const rows = waiting.filter((fact) => fact.tone !== "routine").slice(-ROWS_MAX).map(factRow);
  waiting = [];
  if (fresh) rows.forEach((row) => row.classList.add("fresh"));
  const top = list.scrollTop;
  const height = list.scrollHeight;
  list.prepend(...rows.reverse());
  // Whoever has scrolled down to read stays where they are.
  if (top > 0) list.scrollTop = top + list.scrollHeight - height;
  while (list.children.length > ROWS_MAX) list.lastElementChild.remove();
  id("facts-none").hidden = list.children.length > 0;
}

function takeFact(fact) {
  if (fact.seq <= newest) return;
  newest = fact.seq;
  waiting.push(fact);
  if (waiting.length === 1) requestAnimationFrame(() => showFacts(true));
}

function fillFacts(newestFirst) {
  list.replaceChildren();
  waiting = newestFirst.slice().reverse();
  newest = newestFirst[0]?.seq ?? 0;
  showFacts(false);
}

async function reloadFacts() {
  const answer = await fetch(`/api/facts?limit=${ROWS_MAX}`);
  if (answer.ok) fillFacts((await answer.json()).facts);
}

// ---- the stream -----------------------------------------------------------------------------------------------

let seen = Date.now();
let tried;
let events;

function heard() {
  seen = Date.now();
  id("link").dataset.state = "up";
  put(id("link"), "Live");
  id("lost").hidden = true;
  delete document.body.dataset.stale;
}

function lost() {
  if (Date.now() - seen < 1500) return; // a moment's break that the browser mends by itself
  id("link").dataset.state = "down";
  put(id("link"), "Connection lost");
  put(id("lost"), `Connection lost, last seen ${clock(seen + now() - Date.now())}. What you see may be old; trying again.`);
  id("lost").hidden = false;
  document.body.dataset.stale = "";
}

function connect() {
  tried = Date.now();
  events?.close();
  events = new EventSource(`/api/events?since=${newest}`);
  const on = (name, take) => events.addEventListener(name, (event) => { heard(); take(event.data); });
  on("tick", (data) => setNow(Number(data)));
  on("view", (data) => { view = JSON.parse(data); render(); });
  on("fact", (data) => takeFact(JSON.parse(data)));
  on("reset", reloadFacts);
}

render();
fillFacts(first.facts);
if (first.unread) put(id("facts-none"), `The journal can't be read: ${first.unread}`);
connect();
setInterval(() => {
  reads.push(view.totals.reads);
  if (reads.length > 4) reads.shift();
  render(); // ages grow even when nothing happens
  const silent = Date.now() - seen > SILENCE_MAX;
  if (events.readyState !== EventSource.OPEN || silent) lost();
  // The browser reconnects by itself, but not after an answer that was no stream, nor from a connection that is dead
  // without saying so.
  if ((events.readyState === EventSource.CLOSED || silent) && Date.now() - tried > 4000) connect();
}, 1000);
