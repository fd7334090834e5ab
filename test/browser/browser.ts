/** A headless Chromium for tests, and pages that fail the test when they report an error. */
import { mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, type Page, chromium as playwright } from "playwright-core";
import { chromium } from "../../scripts/chromium.ts";

/** Sizes at which pages are looked at. */
export const sizes = {
  desktop: { width: 1280, height: 900 },
  phone: { width: 390, height: 844 },
  "small phone": { width: 360, height: 740 },
} as const;

const screenshots = path.resolve(import.meta.dirname, "../../screenshots");

/** @param flags more switches of Chromium's command line */
export const launch = (flags: readonly string[] = []): Promise<Browser> =>
  playwright.launch({
    executablePath: chromium(),
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--disable-dev-shm-usage",
      ...flags,
    ],
  });

export interface OpenPage {
  readonly page: Page;
  /** What the page complained about: exceptions, and errors on its console. */
  readonly complaints: readonly string[];
}

/** A fresh page with storage of its own, at a size and in a colour scheme. */
export async function open(
  browser: Browser,
  url: string,
  size: keyof typeof sizes = "desktop",
  colorScheme: "light" | "dark" = "light",
): Promise<OpenPage> {
  const context = await browser.newContext({
    viewport: sizes[size],
    colorScheme,
    acceptDownloads: true,
  });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.setDefaultTimeout(30_000);
  await page.goto(url);
  return { page, complaints };
}

/** Keeps a picture of the page, for people to look at: all of it, or what fits on the screen. */
export async function picture(page: Page, name: string, isWhole = true): Promise<void> {
  mkdirSync(screenshots, { recursive: true });
  const size = page.viewportSize();
  // What is out of view is not drawn, so the view grows for a moment.
  if (isWhole && size !== null) {
    const height = Number(await page.evaluate("document.documentElement.scrollHeight"));
    await page.setViewportSize({ ...size, height });
    await page.waitForTimeout(500);
  }
  await page.screenshot({ path: path.join(screenshots, `${name}.png`), fullPage: isWhole });
  if (size !== null) await page.setViewportSize(size);
}

const axe = readFileSync(fileURLToPath(import.meta.resolve("axe-core/axe.min.js")), "utf8");

/** What keeps people from using the page, by the rules of WCAG 2.2 AA that a program can check. */
export async function barriers(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  // A node of the drawing has a name that spells out what it shows in short.
  const rules = { "label-content-name-mismatch": { enabled: false } };
  const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const { violations } = (await page.evaluate(
    `axe.run(${JSON.stringify({ runOnly: tags, rules, resultTypes: ["violations"] })})`,
  )) as { violations: { id: string; help: string; nodes: { html: string }[] }[] };
  return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes[0]?.html}`);
}

/** Whether the page can be scrolled sideways, which it must not at any size. */
export const overflows = (page: Page): Promise<boolean> =>
  page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth");
