import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { formatPercent } from "../../src/index.ts";
import { type PageServing, servePage } from "../../src/nodejs.ts";
import { type ShortRun, serveShortRun, shortJob } from "../short-run.ts";
import { barriers, launch, type OpenPage, open, overflows, picture } from "./browser.ts";

/** Enough for the pages to be looked at and loaded again while the run goes on. */
const rounds = 50;

/**
 * The page of a real run, watched from before its devices join to after its
 * server has gone; then the same run as a past one, and as a report.
 */
const folder = mkdtempSync(join(tmpdir(), "edgeloom-page-"));
let browser: Browser;
let run: ShortRun;
/** Opened before anybody joined. */
let early: OpenPage;
/** Opened in the middle of the run, on a phone, in the dark. */
let late: OpenPage;
let accuracy = "";
let runName = "";
const seen: Record<string, string> = {};

/** All text there, also where the part is far from view and so not laid out. */
const text = async ({ page }: OpenPage, id: string): Promise<string> =>
  (await page.getByTestId(id).textContent()) ?? "";

beforeAll(async () => {
  browser = await launch();
  run = await serveShortRun(folder, { rounds });
  early = await open(browser, run.pageUrl);
  await early.page
    .getByTestId("state")
    .getByText(/waiting/i)
    .waitFor();
  seen.waiting = await text(early, "state");
  await run.join();
  await run.killDoomed();
  late = await open(browser, run.pageUrl, "phone", "dark");
  await late.page.getByTestId("node-doomed").and(late.page.locator('[data-left="true"]')).waitFor();
  await picture(early.page, "live-desktop-light");
  await picture(late.page, "live-phone-dark");
  await early.page.reload();
  await early.page.getByTestId("node-quick").waitFor();
  seen.reloaded = await text(early, "events");
  const { stdout, stderr, code } = await run.server.finished;
  expect(code, stderr).toBe(0);
  const result = JSON.parse(present(stdout.trim().split("\n").at(-1), "a last line"));
  accuracy = formatPercent(result.accuracy);
  runName = present(readdirSync(run.runs)[0], "a run folder");
  await early.page.getByTestId("connection").getByText(/again/i).waitFor();
}, 180_000);

afterAll(async () => {
  run?.end();
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

describe("the live page", () => {
  it("shows the accuracy that the run printed, on a page opened early and one opened late", async () => {
    for (const at of [early, late]) expect(await text(at, "accuracy")).toContain(accuracy);
  });

  it("says that it waits, then that the run has finished", async () => {
    expect(seen.waiting).toMatch(/waiting/i);
    expect(await text(early, "state")).toMatch(/finished/i);
  });

  it("shows the killed device as left, and the others as there", async () => {
    for (const { page } of [early, late]) {
      const left = (name: string) => page.getByTestId(`node-${name}`).getAttribute("data-left");
      expect(await left("doomed")).toBe("true");
      expect(await left("quick")).toBe("false");
      expect(await left("edge")).toBe("false");
    }
  });

  it("tells events from before a reload, and gives each device's cut with its reason", async () => {
    for (const { name } of shortJob.fleet.devices)
      expect(seen.reloaded).toContain(`${name} joined`);
    expect(seen.reloaded).toContain("doomed left");
    const plan = await text(early, "plan");
    expect(plan).toContain("quick");
    expect(plan).toContain("slow");
    expect(plan).not.toContain("doomed");
  });

  it("says that the server has gone, keeps what it showed, and tries again", async () => {
    expect(await text(early, "connection")).toMatch(/again/i);
    expect(await text(early, "events")).toContain("doomed left");
  });

  it("has no barriers for people who cannot see it well or use no mouse, light or dark", async () => {
    for (const at of [early, late]) expect(await barriers(at.page)).toEqual([]);
  });

  it("is walked through by keyboard, with the place always in sight", async () => {
    const { page } = early;
    await page.evaluate("scrollTo(0, 0); document.activeElement?.blur()");
    const walked = new Set<string>();
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press("Tab");
      const [name, isMarked] = (await page.evaluate(`(() => {
        const at = document.activeElement;
        // A choice marks its text, a node in the drawing its frame.
        const shown = [at, at.nextElementSibling, at.querySelector(".card")].filter(Boolean);
        const isMarked = shown.map((part) => getComputedStyle(part)).some((style) =>
          style.outlineStyle !== "none" || Number.parseFloat(style.strokeWidth) > 3);
        return [at.getAttribute("aria-label") ?? at.textContent.trim(), isMarked || at === document.body];
      })()`)) as [string, boolean];
      expect([name, isMarked]).toEqual([name, true]);
      walked.add(name);
    }
    for (const part of ["Skip to the content", "Runs", "by time", "rounds.csv"]) {
      expect([...walked]).toContainEqual(expect.stringContaining(part));
    }
  });

  it("has nothing to complain about, and never scrolls sideways", async () => {
    // The lost connection is the browser's own message, and the page says it too: nobody listens any
    // more, or the server ends as it is asked.
    const own = (complaint: string): boolean =>
      !/ERR_(CONNECTION_REFUSED|CONNECTION_RESET|EMPTY_RESPONSE|SOCKET_NOT_CONNECTED)/.test(
        complaint,
      );
    for (const at of [early, late]) {
      expect(at.complaints.filter(own)).toEqual([]);
      expect(await overflows(at.page)).toBe(false);
    }
  });
});

describe("past runs", () => {
  let serving: PageServing;
  beforeAll(async () => {
    // A second run to compare with: the first one's records, cut short in the middle of a line.
    const records = readFileSync(join(run.runs, runName, "records.jsonl"), "utf8");
    const half = join(run.runs, "2020-01-01-000000-half");
    mkdirSync(half);
    writeFileSync(join(half, "records.jsonl"), records.slice(0, records.length / 2));
    serving = await servePage({ runs: run.runs, port: null });
  });
  afterAll(() => serving.close());

  it("are listed; one opens with its accuracy, files and records as CSV", async () => {
    const at = await open(browser, serving.pageUrl);
    const { page } = at;
    await page.getByTestId("runs").getByRole("link", { name: runName }).first().click();
    await page.getByTestId("accuracy").getByText(accuracy).waitFor();
    await picture(page, "past-desktop-light");
    expect(await barriers(page)).toEqual([]);
    const downloadOf = async (name: RegExp): Promise<Buffer> => {
      const started = page.waitForEvent("download");
      await page.getByRole("button", { name }).first().click();
      return readFileSync(present(await (await started).path(), "a downloaded file"));
    };
    const csv = (await downloadOf(/csv/i)).toString();
    expect(csv.split("\r\n")[0]).toContain("test_accuracy");
    expect(csv.trim().split("\r\n").length).toBeGreaterThan(2 * rounds);
    const model = await downloadOf(/model\.onnx/i);
    expect(model.equals(readFileSync(join(run.runs, runName, "model.onnx")))).toBe(true);
    expect(at.complaints).toEqual([]);
  });

  it("that are half written open as far as they go, with a note", async () => {
    const { page } = await open(browser, serving.pageUrl);
    await page.getByTestId("runs").getByRole("link", { name: "half" }).first().click();
    await page
      .getByTestId("notes")
      .getByText(/half written/)
      .waitFor();
    await page.getByTestId("node-quick").waitFor();
  });

  it("are compared on one plot", async () => {
    const at = await open(browser, serving.pageUrl);
    for (const box of await at.page.getByTestId("runs").getByRole("checkbox").all()) {
      await box.check();
    }
    await at.page.getByRole("link", { name: /compare/i }).click();
    const compare = at.page.getByTestId("compare");
    await compare.getByText(accuracy).first().waitFor();
    expect(await compare.locator("canvas").count()).toBeGreaterThan(0);
    await picture(at.page, "compare-desktop-light");
    expect(await barriers(at.page)).toEqual([]);
    expect(at.complaints).toEqual([]);
  });

  it("are hidden from who has no token, who is told where to find it and can paste it", async () => {
    const origin = new URL(serving.pageUrl).origin;
    const { page } = await open(browser, origin, "phone");
    const form = page.getByTestId("token-form");
    await form.waitFor();
    expect((await form.textContent()) ?? "").toMatch(/terminal/);
    await picture(page, "token-phone-light");
    expect(await barriers(page)).toEqual([]);
    await form.getByRole("textbox").fill(serving.pageUrl);
    await form.getByRole("button").click();
    await page.getByTestId("runs").waitFor();
  });

  it("refuse a wrong token in words", async () => {
    const { page } = await open(browser, serving.pageUrl.replace(/token=.*/, "token=wrong"));
    await page.getByTestId("token-form").waitFor();
  });
});

describe("report.html", () => {
  it("is one file that shows the run without any server", async () => {
    const file = join(run.runs, runName, "report.html");
    expect(readFileSync(file, "utf8")).not.toMatch(/(src|href)="(https?:|\/|\.\/)/);
    const at = await open(browser, pathToFileURL(file).href);
    await at.page.getByTestId("accuracy").getByText(accuracy).waitFor();
    expect(await text(at, "plan")).toContain("quick");
    const body = (await at.page.locator("body").textContent()) ?? "";
    expect(body).toContain(`edgeloom serve ${join(folder, "job.yaml")}`);
    expect(body).toMatch(/Node\.js 24/);
    await picture(at.page, "report-desktop-light");
    expect(at.complaints).toEqual([]);
  });
});
