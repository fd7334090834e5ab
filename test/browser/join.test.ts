/** Browsers as devices: one run of Node.js and Chromium together, and what happens to a page in it. */
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launch } from "./browser.ts";
import { type MixedRun, serveMixedRun } from "./mixed-run.ts";

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
});

/** Joins with the samples that the server offers. */
const joinByHand = async (page: Page): Promise<void> => {
  await page.getByLabel("Sample data from the server").check();
  await page.getByRole("button", { name: "Join" }).click();
};

const phaseIs = (page: Page, phase: string): Promise<void> =>
  page.locator(`[data-testid="state"][data-phase="${phase}"]`).waitFor({ timeout: 60_000 });

/** Two devices in Node.js and two pages train to the end. */
async function trainTogether(beside: (run: MixedRun, pages: Page[]) => Promise<void>) {
  const run = await serveMixedRun(4);
  try {
    const opened = [await run.openPage(browser, 2), await run.openPage(browser, 3)];
    const pages = opened.map(({ page }) => page);
    for (const page of pages) await joinByHand(page);
    await Promise.all([run.joinNode(0), run.joinNode(1)]);
    await beside(run, pages);
    const end = await run.serving.ended;
    const complaints = opened.flatMap((page) => page.complaints);
    return { end, complaints, summary: run.summary, records: run.records };
  } finally {
    await run.end();
    for (const context of browser.contexts()) await context.close();
  }
}

describe("two devices in Node.js and two pages in Chromium", () => {
  it("train one run, and one page's death costs no accuracy", async () => {
    const whole = await trainTogether(async (_run, [page]) => {
      if (page !== undefined) await phaseIs(page, "ended");
    });
    expect(whole.complaints).toEqual([]);
    expect(whole.end.reason).toBe("finished");
    const cut = await trainTogether(async (run, [page]) => {
      await run.until((record) => record.type === "round" && record.round === 2);
      await page?.close();
    });
    expect(cut.end.reason).toBe("finished");
    const left = cut.records.filter((record) => record.type === "left");
    expect(left.map(({ name }) => name)).toEqual(["device-3"]);
    expect(whole.summary.accuracy).toBeGreaterThan(0.9);
    expect(Math.abs((whole.summary.accuracy ?? 0) - (cut.summary.accuracy ?? 0))).toBeLessThan(
      0.03,
    );
  }, 120_000);
});
