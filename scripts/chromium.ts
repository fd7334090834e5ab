/**
 * Chromium for tests and screenshots: the one that is installed, or Debian's
 * package where this machine lets us install it.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

const candidates = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];
const packages = ["chromium", "fonts-dejavu-core"];
const install = ["install", "-y", "--no-install-recommends", ...packages];

/**
 * Path of a Chromium, installed first where there is none.
 * @throws Error with the command to run where it cannot be installed from here
 */
export function chromium(): string {
  const found = candidates.find((path) => existsSync(path));
  if (found !== undefined) return found;
  const isRoot = process.getuid?.() === 0;
  if (isRoot && existsSync("/usr/bin/apt-get")) {
    console.log(`Installing ${packages.join(" and ")} for tests in the browser ...`);
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    for (const args of [["update"], install]) {
      if (spawnSync("apt-get", args, { stdio: ["ignore", "ignore", "inherit"], env }).status !== 0)
        break;
    }
    const installed = candidates.find((path) => existsSync(path));
    if (installed !== undefined) return installed;
  }
  throw new Error(
    "tests in the browser need Chromium; install it with: " +
      `sudo apt-get update && sudo apt-get ${install.join(" ")}`,
  );
}

/** Vitest calls it before tests in the browser. */
export default (): void => {
  chromium();
};
