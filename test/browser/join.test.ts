/** Browsers as devices: one run of Node.js and Chromium together, and what happens to a page in it. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Browser, Page } from "playwright-core";
import { PNG } from "pngjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RunRecord } from "../../src/index.ts";
import { barriers, launch, open, overflows, picture } from "./browser.ts";
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

const isRound = (number: number) => (record: RunRecord) =>
  record.type === "round" && record.round >= number;

describe("a page in a run", () => {
  let run: MixedRun;
  beforeAll(async () => {
    run = await serveMixedRun(2, { rounds: 60, localBatches: 10 });
  });
  afterAll(async () => {
    await run?.end();
    for (const context of browser.contexts()) await context.close();
  });

  it("shows what it will do before it joins, and works as it is for everybody", async () => {
    for (const [size, color] of [
      ["desktop", "light"],
      ["small phone", "light"],
      ["small phone", "dark"],
    ] as const) {
      const { page, complaints } = await run.openPage(browser, 0, size, color);
      await page.getByLabel("Name of this device").waitFor();
      expect(await page.getByLabel("Name of this device").inputValue()).toBe("device-1");
      expect(await barriers(page)).toEqual([]);
      expect(await overflows(page)).toBe(false);
      for (const label of ["Pictures, class by class", "A folder of pictures"]) {
        await page.getByLabel(label).check();
        expect(await barriers(page)).toEqual([]);
      }
      await page.getByRole("button", { name: "Join" }).click();
      await page.getByRole("alert").waitFor();
      await page.getByText("What leaves this device").click();
      expect(await barriers(page)).toEqual([]);
      expect(await overflows(page)).toBe(false);
      await picture(page, `join-choose-${size.replace(" ", "-")}-${color}`);
      expect(complaints).toEqual([]);
      await page.context().close();
    }
  });

  it("is let in by a code on the run's page, for who may do that", async () => {
    for (const [size, color] of [
      ["desktop", "light"],
      ["small phone", "dark"],
    ] as const) {
      const { page } = await open(browser, run.serving.adminUrl, size, color);
      await page.getByText("Join with a phone").click();
      await page.getByRole("img", { name: "QR code of the join link for device-1" }).waitFor();
      expect(await page.getByRole("link", { name: "this link" }).getAttribute("href")).toBe(
        run.serving.joinUrls[0],
      );
      expect(await barriers(page)).toEqual([]);
      expect(await overflows(page)).toBe(false);
      await picture(page, `join-code-${size.replace(" ", "-")}`, false);
      await page.context().close();
    }
    const { page } = await open(browser, run.serving.pageUrl);
    await page.getByText("Join with a phone").click();
    await page.getByText(/needed: admin/i).waitFor();
    expect(await page.getByRole("img", { name: /QR code/ }).count()).toBe(0);
    await page.context().close();
  });

  it("asks for the link where there is none, and says when it is refused", async () => {
    const [address = ""] = (run.serving.joinUrls[0] ?? "").split("#");
    const { page } = await open(browser, address, "small phone");
    await page.getByLabel("Link or token").fill("not_the_token");
    await page.getByRole("button", { name: "Open" }).click();
    await page.getByRole("alert").getByText(/token/).waitFor();
    expect(await barriers(page)).toEqual([]);
    await picture(page, "join-link");
    await page.context().close();
  });

  it("trains, pauses and goes on, is loaded again and goes on, and leaves", async () => {
    const { page, complaints } = await run.openPage(browser, 1, "small phone", "dark");
    await joinByHand(page);
    await run.joinNode(0);
    await phaseIs(page, "training");
    await run.until(isRound(1));
    await page.getByTestId("speed").getByText("ms").waitFor();
    await page.getByTestId("traffic").getByText("features").waitFor();
    expect(await barriers(page)).toEqual([]);
    expect(await overflows(page)).toBe(false);
    await picture(page, "join-training");

    const joins = () =>
      run.records.filter((record) => record.type === "joined" && record.name === "device-2").length;
    await page.getByRole("button", { name: "Pause" }).click();
    await phaseIs(page, "paused");
    await picture(page, "join-paused");
    const paused = run.summary.rounds;
    await run.until(isRound(paused + 1));
    await pauseWhileConnecting(page);
    await phaseIs(page, "paused");
    const isMember = () =>
      run.summary.nodes.some(({ name, left }) => name === "device-2" && left === null);
    await expect.poll(isMember).toBe(false);
    const before = joins();
    await page.getByRole("button", { name: "Go on" }).click();
    await phaseIs(page, "training");
    expect(joins()).toBe(before + 1);

    await page.reload();
    await phaseIs(page, "training");
    expect(joins()).toBe(before + 2);
    expect(run.summary.nodes.filter(({ left }) => left === null).length).toBe(3);

    await page.getByRole("button", { name: "Leave" }).click();
    await phaseIs(page, "ended");
    await picture(page, "join-left");
    await page.reload();
    await page.getByRole("button", { name: "Join" }).waitFor();
    expect(await page.getByLabel("The same as last time").count()).toBe(0);
    expect(complaints).toEqual([]);
  }, 90_000);
});

/** Lets a paused device go on, and pauses it again before the server, which is this process, answers. */
async function pauseWhileConnecting(page: Page): Promise<void> {
  const paused = page.evaluate(`(async () => {
    const click = (name) =>
      [...document.querySelectorAll("button")].find((each) => each.textContent === name).click();
    await new Promise((resolve) => setTimeout(resolve, 500));
    click("Go on");
    while (document.querySelector("[data-phase=connecting]") === null) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    click("Pause");
  })()`);
  await sleep(250);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_000);
  await paused;
}

describe("a page whose device cannot be loaded", () => {
  it("says so", async () => {
    const run = await serveMixedRun(1);
    try {
      const { page } = await run.openPage(browser, 0);
      await page.route(/\/device-[^/]*\.js$/, (route) => route.abort());
      await joinByHand(page);
      await page.getByTestId("reason").getByText("has failed: it could not be loaded").waitFor();
    } finally {
      await run.end();
      for (const context of browser.contexts()) await context.close();
    }
  });
});

describe("a page with pictures of its own", () => {
  it("reads them class by class and trains on them alone", async () => {
    const run = await serveMixedRun(1, { rounds: 3, localBatches: 2, batch: 4 });
    try {
      const { page, complaints } = await run.openPage(browser, 0, "small phone");
      await page.getByLabel("Pictures, class by class").check();
      for (const [className, shade] of [
        ["dark", 20],
        ["light", 230],
      ] as const) {
        await page.getByLabel("Class", { exact: true }).fill(className);
        const files = [1, 2, 3].map((number) => ({
          name: `${number}.png`,
          mimeType: "image/png",
          buffer: greyPicture(40 + number, 30, shade),
        }));
        await page.getByLabel("Its pictures").setInputFiles(files);
        await page.getByRole("button", { name: "Add this class" }).click();
        await page.getByText(`${className}: 3 pictures`).waitFor();
      }
      await picture(page, "join-pictures");
      await page.getByRole("button", { name: "Join" }).click();
      await page.getByText("6 samples to learn from").waitFor();
      expect((await run.serving.ended).reason).toBe("finished");
      const device = run.summary.nodes.find(({ kind }) => kind === "device");
      expect(device).toMatchObject({ name: "device-1", samples: 6, left: null });
      await phaseIs(page, "ended");
      expect(complaints).toEqual([]);
    } finally {
      await run.end();
      for (const context of browser.contexts()) await context.close();
    }
  }, 60_000);
});

function greyPicture(width: number, height: number, shade: number): Buffer {
  const png = new PNG({ width, height });
  png.data.fill(shade);
  return PNG.sync.write(png);
}
