/** A page as the source of a pipeline: edge servers in Node.js train the later layers on what it sends. */
import { expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { barriers, launch, open, overflows, picture } from "./browser.ts";
import { serveMixedRun } from "./mixed-run.ts";

it("a page in Chromium and two edge servers train a pipeline with batches under way", async () => {
  const browser = await launch();
  const job = { name: "walk", model: "lenet5", planner: "pipeline" };
  const run = await serveMixedRun(1, { ...job, rounds: 30, pipeline: { window: 2 } }, 0.05);
  try {
    const edges = [await run.joinEdge("near", 0.2), await run.joinEdge("far", 0.25)];
    const { page, complaints } = await run.openPage(browser, 0);
    await page.getByLabel("Sample data from the server").check();
    await page.getByRole("button", { name: "Join" }).click();
    await run.until((record) => record.type === "round" && record.round === 1);
    for (const size of ["desktop", "phone"] as const) {
      const seen = await open(browser, run.serving.pageUrl, size);
      await seen.page.getByTestId("plan").getByText("Window 2: up to 3 batches").waitFor();
      await seen.page.waitForTimeout(1500);
      await picture(seen.page, `pipeline-${size}`);
      expect(await barriers(seen.page)).toEqual([]);
      expect(await overflows(seen.page)).toBe(false);
      expect(seen.complaints).toEqual([]);
    }
    expect((await run.serving.ended).reason).toBe("finished");
    for (const { ended } of edges) expect((await ended).reason).toBe("finished");
    expect(complaints).toEqual([]);
    const plans = run.records.filter((record) => record.type === "planned");
    const used = plans.flatMap(({ plan }) => plan.copies.map(({ node }) => node as string));
    // Which of the two help, and where the model is cut, follows from what was measured.
    expect(used).toContain("device-1");
    expect(used.some((node) => node === "near" || node === "far")).toBe(true);
    const rounds = run.records.filter((record) => record.type === "round");
    expect(rounds.flatMap(({ dropped }) => dropped)).toEqual([]);
    const device = rounds.map(({ nodes }) => nodes.find(({ node }) => node === "device-1"));
    expect(Math.max(...device.map((cost) => present(cost, "the page").ahead ?? 0))).toBe(3);
    expect(run.summary.accuracy).toBeGreaterThan(0.5);
  } finally {
    await run.end();
    await browser.close();
  }
});
