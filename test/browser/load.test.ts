import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openAccess } from "../../src/nodejs/access.ts";
import { after } from "../../src/nodejs/host.ts";
import { createRunFolder } from "../../src/nodejs/run-folder.ts";
import { openWeb, type Web } from "../../src/nodejs/web.ts";
import type { RunRecord } from "../../src/run/metrics/record.ts";
import { ObserverHub } from "../../src/run/observe/hub.ts";
import { nullEngine } from "../../src/sim/engines.ts";
import { simulate } from "../../src/sim/simulate.ts";
import { smallFleet, smallJob, smallModel } from "../sim/small-job.ts";
import { launch, type OpenPage, open, overflows, picture } from "./browser.ts";

/**
 * A run of 50 devices on the page, 20 updates a second: records of a simulation,
 * then the activity of every node and its rounds, over and over.
 */
const devices = 50;
const updateMs = 50;
const seconds = 6;

const folder = mkdtempSync(join(tmpdir(), "edgeloom-load-"));
let browser: Browser;
let web: Web;
let at: OpenPage;

beforeAll(async () => {
  const job = smallJob({
    rounds: 5,
    fleet: {
      cellMbit: 200,
      devices: Array.from({ length: devices }, (_, i) => ({
        name: `device-${i + 1}`,
        duty: 1 / (1 + (i % 8)),
      })),
    },
  });
  const { records } = await simulate({
    job,
    model: smallModel(),
    nodes: smallFleet(job),
    engine: nullEngine,
    isWatched: true,
  });
  const runFolder = createRunFolder(folder, "load", "", new Date(0));
  const { run, log } = runFolder;
  const hub = new ObserverHub({
    live: { run, log },
    accepts: () => true,
    after,
    onWatch: () => {},
  });
  const emit = (atMs: number, record: RunRecord): void => {
    if (record.type !== "activity") log.append(atMs, record);
    hub.publish({ atMs, record });
  };
  web = await openWeb({
    port: null,
    runs: folder,
    ...(await openAccess({ folder: null, devices: [], tokenDays: 1, reach: undefined })),
    live: run,
    hub,
    interrupt: null,
    desk: null,
    metrics: null,
    onWorker: null,
  });
  const isEnd = (type: string): boolean => type === "ended" || type === "evaluation";
  for (const { atMs, record } of records) if (!isEnd(record.type)) emit(atMs, record);
  browser = await launch();
  at = await open(browser, web.pageUrl);
  await at.page.getByTestId("node-device-50").waitFor();
  await at.page.waitForTimeout(1000);
  await at.page.evaluate(`
    window.seen = { shift: 0, longest: 0, frames: 0 };
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) seen.shift += entry.value;
    }).observe({ type: "layout-shift" });
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) seen.longest = Math.max(seen.longest, duration);
    }).observe({ type: "longtask" });
    const count = () => { seen.frames++; requestAnimationFrame(count); };
    requestAnimationFrame(count);
  `);
  const activity = records.filter(({ record }) => record.type === "activity");
  const rounds = records.filter(({ record }) => record.type === "round");
  const last = records.at(-1)?.atMs ?? 0;
  for (let tick = 0; tick < (seconds * 1000) / updateMs; tick++) {
    const nowMs = last + tick * updateMs;
    for (let i = 0; i < devices; i++) {
      const told = activity[(tick * devices + i) % activity.length];
      if (told !== undefined) emit(nowMs, told.record);
    }
    const round = rounds[tick % rounds.length]?.record;
    if (tick % 4 === 0 && round?.type === "round") emit(nowMs, { ...round, round: 5 + tick / 4 });
    await new Promise((resolve) => setTimeout(resolve, updateMs));
  }
}, 90_000);

afterAll(async () => {
  await browser?.close();
  web?.close();
  rmSync(folder, { recursive: true, force: true });
});

describe("the page with 50 devices and 20 updates a second", () => {
  it("keeps every part in its place", async () => {
    const { shift } = (await at.page.evaluate("seen")) as { shift: number };
    expect(shift).toBeLessThan(0.01);
  });

  it("goes on drawing, and never stalls", async () => {
    const { frames, longest } = (await at.page.evaluate("seen")) as Record<string, number>;
    // Wide limits: the machine also runs the server and this test.
    expect(frames).toBeGreaterThan(10 * seconds);
    expect(longest).toBeLessThan(400);
  });

  it("shows all of them, at desktop and phone size, without scrolling sideways", async () => {
    expect(await at.page.locator('[data-testid^="node-device-"]').count()).toBe(devices);
    await picture(at.page, "load-desktop-light");
    const phone = await open(browser, web.pageUrl, "phone");
    await phone.page.getByTestId("node-device-50").waitFor();
    for (const { page } of [at, phone]) expect(await overflows(page)).toBe(false);
    await picture(phone.page, "load-phone-light", false);
    expect([...at.complaints, ...phone.complaints]).toEqual([]);
  });
});
