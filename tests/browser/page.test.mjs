// The pages in Chromium: `node tests/browser/page.test.mjs URL [SCREENSHOT_FOLDER]` against a running daemon (or
// `cargo run -p stowage --example page`) in which things happen. CHROMIUM names another browser than /usr/bin/chromium.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const [url, folder] = process.argv.slice(2);
assert.ok(url, "usage: node page.test.mjs URL [SCREENSHOT_FOLDER]");

const LAUNCH = {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
};
// How long the site may take until something happens; what the page does about it has its own, shorter times.
const HAPPENS = 120_000;

let browser;
before(async () => { browser = await chromium.launch(LAUNCH); });
after(() => browser?.close());

/** Opens a page, runs `body`, and fails if the browser had anything to complain about. */
async function opened(path, options, body) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  try {
    await page.goto(new URL(path, url).href);
    await body(page, complaints);
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}

const live = (page) => page.locator('#link[data-state="up"]').waitFor();
const get = async (path) => (await fetch(new URL(path, url))).json();

test("the map shows every zone with its numbers, and every portal as a doorway", () =>
  opened("/", {}, async (page) => {
    await live(page);
    const view = await get("/api/view");
    const zones = page.locator(".map .zone");
    assert.equal(await zones.count(), view.zones.length);
    for (const [at, zone] of view.zones.entries()) {
      const tile = zones.nth(at);
      assert.equal(await tile.locator("h3").textContent(), zone.name);
      assert.match(await tile.locator('[data-f="tags"]').textContent(), /^[\d\u202f]+$/);
      if (zone.kind !== "outside") assert.match(await tile.locator('[data-f="book"]').textContent(), /^[\d\u202f]+$/);
      const box = await tile.boundingBox();
      assert.ok(box.width > 20 && box.height > 10, `${zone.name} is ${box.width} × ${box.height}`);
    }
    const doors = page.locator(".map .door");
    assert.equal(await doors.count(), view.portals.length);
    const map = await page.locator(".map").boundingBox();
    for (let at = 0; at < view.portals.length; at++) {
      const box = await doors.nth(at).locator(".counts").boundingBox();
      assert.ok(box.x >= map.x - 1 && box.x + box.width <= map.x + map.width + 1, "the doorway lies on the map");
      assert.match(await doors.nth(at).locator('[data-f="inwards"]').textContent(), /^[\d\u202f]+$/);
    }
  }));

test("a new fact appears within a second, without a reload", () =>
  opened("/", {}, async (page) => {
    await live(page);
    const top = () => page.locator("#facts > li").first().getAttribute("data-seq").then(Number);
    await page.locator("#facts > li").first().waitFor({ timeout: HAPPENS });
    const before = await top();
    // The next fact that the page doesn't leave out as routine, as the interface tells it.
    let next;
    for (const end = Date.now() + HAPPENS; !next && Date.now() < end; await new Promise((done) => setTimeout(done, 50))) {
      const { facts } = await get(`/api/facts?since=${before}`);
      next = facts.find((fact) => fact.tone !== "routine");
    }
    assert.ok(next, "something happens");
    const row = page.locator(`#facts > li[data-seq="${next.seq}"]`);
    await row.waitFor({ timeout: 1000 });
    assert.equal(await row.locator('[data-f="text"]').textContent(), next.text);
    assert.match(await row.locator("time").textContent(), /\d\d:\d\d:\d\d$/);
    const order = await page.locator("#facts > li").evaluateAll((rows) => rows.map((row) => Number(row.dataset.seq)));
    assert.deepEqual(order, order.toSorted((a, b) => b - a), "newest first");
    assert.equal(new Set(order).size, order.length, "each once");
  }));

test("devices show their state, counts and last error", () =>
  opened("/", {}, async (page) => {
    await live(page);
    const { devices } = await get("/api/view");
    const rows = page.locator("#devices > li");
    assert.equal(await rows.count(), devices.length);
    for (const [at, device] of devices.entries()) {
      const row = rows.nth(at);
      assert.equal(await row.locator("b").first().textContent(), device.code);
      assert.match(await row.locator('[data-f="state"]').textContent(), /^(up \d|down \d|never up)/);
      assert.match(await row.locator('[data-f="count"]').textContent(), /^[\d\u202f]+$/);
    }
  }));

test("taking the radio's word settles a discrepancy", () =>
  opened("/", {}, async (page) => {
    await live(page);
    const first = page.locator("#doubts > li").first();
    await first.waitFor({ timeout: HAPPENS });
    const id = await first.getAttribute("data-id");
    const doubt = page.locator(`#doubts > li[data-id="${id}"]`);
    assert.match(await doubt.locator('[data-f="sentence"]').textContent(), /radio says/);
    assert.match(await doubt.locator('[data-f="confidence"]').textContent(), /^\d+ %$/);
    assert.match(await doubt.locator(".act").textContent(), /or scan it where it is/);
    await doubt.locator("button").focus();
    await page.keyboard.press("Enter");
    await doubt.waitFor({ state: "detached", timeout: 5000 });
    const { facts } = await get("/api/facts?kind=discrepancy.settled&limit=20");
    assert.ok(facts.some((fact) => fact.fact.data.id === Number(id)), "and it is recorded");
  }));

test("a lost connection is said, and mended without a reload", async () => {
  const { hostname, port } = new URL(url);
  const sockets = new Set();
  const keep = (socket) => { sockets.add(socket.on("error", () => {}).on("close", () => sockets.delete(socket))); return socket; };
  const cable = createServer((near) => { keep(near).pipe(keep(connect(port, hostname))).pipe(near); });
  const plug = (at) => new Promise((done) => cable.listen(at, "127.0.0.1", done));
  await plug(0);
  const at = cable.address().port;
  const cut = () => new Promise((done) => { cable.close(done); for (const socket of sockets) socket.destroy(); });
  try {
    await opened(`http://127.0.0.1:${at}/`, {}, async (page, complaints) => {
      await live(page);
      await cut();
      await page.locator("#lost:not([hidden])").waitFor({ timeout: 20_000 });
      assert.match(await page.locator("#lost").textContent(), /last seen \d\d:\d\d:\d\d/);
      await plug(at);
      await page.locator("#lost").waitFor({ state: "hidden", timeout: 20_000 });
      await live(page);
      complaints.length = 0; // the browser has told of each attempt
    });
  } finally {
    await cut();
  }
});

test("that nothing can be recorded is said in a banner", () =>
  opened("about:blank", {}, async (page) => {
    const view = { ...(await get("/api/view")), problem: "the disk is full" };
    const body = `event: view\ndata: ${JSON.stringify(view)}\n\n`;
    await page.route("**/api/events*", (route) => route.fulfill({ contentType: "text/event-stream", body }));
    await page.goto(url);
    await page.locator("#problem:not([hidden])").waitFor({ timeout: 5000 });
    assert.match(await page.locator("#problem").textContent(), /Nothing can be recorded.*the disk is full/);
  }));

test("an item's trail and the list of facts open from the floor", () =>
  opened("/", {}, async (page) => {
    await live(page);
    const link = page.locator('#facts a[href^="/item/"]').first();
    await link.waitFor({ timeout: HAPPENS });
    const href = await link.getAttribute("href");
    await page.goto(new URL(href, url).href);
    assert.ok((await page.locator("ol.log > li").count()) > 0, `${href} has a trail`);
    await page.goto(new URL("/facts?kind=device.", url).href);
    for (const kind of await page.locator("ol.log .kind").allTextContents()) assert.match(kind, /^device\./);
  }));

for (const [width, height] of [[1280, 800], [390, 844], [1920, 1080]]) {
  for (const colorScheme of ["light", "dark"]) {
    test(`nothing is cut off at ${width} px, ${colorScheme}`, () =>
      opened("/", { viewport: { width, height }, colorScheme }, async (page) => {
        await live(page);
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(overflow <= 0, `${overflow} px too wide`);
        if (!folder) return;
        await mkdir(folder, { recursive: true });
        await page.screenshot({ path: `${folder}/floor-${width}-${colorScheme}.png`, fullPage: true });
        for (const [name, path] of [["facts", "/facts"], ["item", await page.locator('#facts a[href^="/item/3"]').first().getAttribute("href")]]) {
          await page.goto(new URL(path, url).href);
          assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0, `${name} is too wide`);
          await page.screenshot({ path: `${folder}/${name}-${width}-${colorScheme}.png` });
        }
      }));
  }
}
