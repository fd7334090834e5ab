/**
 * `npm run screenshot`: runs the demo, opens its page in Chromium, and writes the
 * picture that the README shows, `docs/page.png`, when the run is two thirds done.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { chromium as playwright } from "playwright-core";
import { chromium } from "./chromium.ts";
import { buildStale } from "./setup.ts";

const repository = path.resolve(import.meta.dirname, "..");
const size = { width: 1280, height: 1400 };
const limitMs = 180_000;

buildStale();
const runs = mkdtempSync(path.join(tmpdir(), "edgeloom-screenshot-"));
const args = [path.join(repository, "src/cli/main.ts"), "demo", "--runs", runs];
const demo = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
const timer = setTimeout(() => demo.kill("SIGTERM"), limitMs);
try {
  const said = saying();
  const [, address = ""] = await said(/Watch it at (\S+)/);
  const browser = await playwright.launch({ executablePath: chromium(), args: ["--no-sandbox"] });
  const page = await browser.newPage({ viewport: size, deviceScaleFactor: 1 });
  await page.goto(address);
  await said(/round 30\/45/);
  await page.screenshot({ path: path.join(repository, "docs/page.png") });
  await browser.close();
  console.log("wrote docs/page.png");
} finally {
  clearTimeout(timer);
  demo.kill("SIGINT");
  await new Promise((resolve) => demo.once("exit", resolve));
  rmSync(runs, { recursive: true, force: true });
}

/** Waits for what the demo says next; fails when it ends without saying it. */
function saying(): (pattern: RegExp) => Promise<RegExpMatchArray> {
  let text = "";
  let look = (): void => {};
  demo.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
    look();
  });
  return (pattern) =>
    new Promise((resolve, reject) => {
      demo.once("exit", () => reject(new Error(`the demo ended without saying ${pattern}`)));
      look = () => {
        const match = text.match(pattern);
        if (match !== null) resolve(match);
      };
      look();
    });
}
