/**
 * `npm test`: every check of the repository, then every test, and at the very
 * end one line `N passed, N failed`. A check (types, style, unused code, the
 * package as it would be published) counts as one test. Exits with 1 when
 * anything failed.
 *
 *   node scripts/test.ts            everything
 *   node scripts/test.ts --checks   the checks alone
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Tally } from "./tally.ts";

const root = path.resolve(import.meta.dirname, "..");

const folder = mkdtempSync(path.join(tmpdir(), "edgeloom-test-"));
const { name, version } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"));
/** What stands in commands for paths, which may hold spaces. */
const places = { FOLDER: folder, TARBALL: path.join(folder, `${name}-${version}.tgz`) };

const checks = [
  { name: "setup", command: "node scripts/setup.ts" },
  { name: "types of the core", command: "tsc -p tsconfig.core.json" },
  { name: "types of the browser's world", command: "tsc -p tsconfig.browser.json" },
  { name: "types of everything else", command: "tsc -p tsconfig.json" },
  { name: "types of the page", command: "tsc -p apps/dashboard/tsconfig.json" },
  { name: "types of the page's tests", command: "tsc -p apps/dashboard/tsconfig.test.json" },
  { name: "types of the page that joins", command: "tsc -p apps/join/tsconfig.json" },
  { name: "style", command: "biome check --error-on-warnings ." },
  { name: "unused code", command: "knip --no-progress" },
  { name: "package", command: "npm pack --silent --pack-destination FOLDER" },
  { name: "entry points of the package", command: "publint run --strict TARBALL" },
  {
    name: "types of the package",
    command:
      "attw TARBALL --profile esm-only --format table-flipped --no-summary --no-color --no-emoji",
  },
  { name: "size for browsers", command: "size-limit --highlight-less" },
  { name: "API reference", command: "npm run --silent reference -- -- --emit none" },
] as const;

/** Runs one of the repository's tools with its output shown; gives the exit status. */
function run(command: string, env: NodeJS.ProcessEnv = {}): Promise<number> {
  const [tool = "", ...args] = command
    .split(" ")
    .map((word) => (word in places ? places[word as keyof typeof places] : word));
  const tools = path.join(root, "node_modules", ".bin");
  const child = spawn(tool, args, {
    cwd: root,
    stdio: "inherit",
    shell: process.platform === "win32",
    env: { ...process.env, ...env, PATH: `${tools}${path.delimiter}${process.env.PATH ?? ""}` },
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (status) => resolve(status ?? 1));
  });
}

async function runTests(): Promise<Tally> {
  const file = path.join(folder, "tally.json");
  const status = await run("vitest run --reporter=default --reporter=./scripts/tally.ts", {
    EDGELOOM_TALLY: file,
  });
  const tally = readTally(file);
  if (tally === null) return { passed: 0, failed: ["vitest ended without a result"], skipped: [] };
  if (status !== 0 && tally.failed.length === 0) {
    return { ...tally, failed: [`vitest ended with status ${status}`] };
  }
  return tally;
}

function readTally(file: string): Tally | null {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Tally;
  } catch {
    return null;
  }
}

let passed = 0;
const failed: string[] = [];
for (const check of checks) {
  const started = performance.now();
  const status = await run(check.command);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${status === 0 ? "ok  " : "FAIL"} ${check.name} (${seconds} s)`);
  if (status === 0) passed++;
  else failed.push(`${check.name}: ${check.command}`);
}
if (!process.argv.includes("--checks")) {
  const tally = await runTests();
  passed += tally.passed;
  failed.push(...tally.failed);
  for (const { name, reason } of tally.skipped) {
    if (reason === null) failed.push(`${name}: skipped without a reason`);
    else console.log(`skipped: ${name}: ${reason}`);
  }
}
rmSync(folder, { recursive: true, force: true });
for (const name of failed) console.log(`failed: ${name}`);
console.log(`${passed} passed, ${failed.length} failed`);
process.exitCode = failed.length === 0 ? 0 : 1;
