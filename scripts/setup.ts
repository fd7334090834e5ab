/**
 * `npm run setup`: builds what is stale into `dist/`, the library as the package
 * ships it, the page that shows a run and the page that joins one. `npm start` and `npm test` call it
 * first, so it costs next to nothing when everything is fresh, and says one line
 * when it builds.
 *
 * What is fresh is told by a hash of the inputs, kept in `dist/.stamp.json`.
 * A build goes to a folder beside `dist` that then takes its place, so a failed
 * build leaves the old one and two at once do not mix their files. Everything in
 * `dist` that is not built here (the API reference) goes with the old one.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  globSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";

const repository = path.resolve(import.meta.dirname, "..");
const stampName = ".stamp.json";
/** Prefix of folders that a build works in. */
const workPrefix = ".dist-";
/** A folder of work older than this belongs to a build that was killed. */
const abandonedMs = 3_600_000;

const parts = ["library", "page", "join"] as const;
type Part = (typeof parts)[number];
/** What a part is called. */
const words: Readonly<Record<Part, string>> = {
  library: "the library",
  page: "the page",
  join: "the page that joins",
};
type Stamp = Readonly<Record<Part, string | null>>;

/** What each part is made of; tests are none of it. */
const inputs: Readonly<Record<Part, readonly string[]>> = {
  library: ["src/**/*.{ts,js,py}", "tsconfig.base.json", "tsconfig.build.json"],
  page: [
    "apps/dashboard/**/*",
    "src/*.ts",
    "src/{base,compile,models,data,codec,sync,plan,run,sim}/**/*.{ts,js}",
  ],
  // It shares colours and small parts with the page.
  join: ["apps/join/**/*", "apps/dashboard/src/**/*", "src/*.ts", "src/**/*.{ts,js}"],
};
/** Pages by the workspace that builds them; each lies in a folder of `dist` with the part's name. */
const pages = { page: "apps/dashboard", join: "apps/join" } as const;
type Page = keyof typeof pages;
/** Belong to both: the tools' versions, and this file. */
const shared = ["package.json", "package-lock.json", "scripts/setup.ts"];

/** Builds what is stale in the tree at `root`. @throws when a build fails; `dist` is as it was then */
export function buildStale(root = repository): void {
  const hasPage = (page: Page): boolean =>
    existsSync(path.join(root, pages[page], "vite.config.ts"));
  const wanted: Stamp = {
    library: hashOf(root, inputs.library),
    page: hasPage("page") ? hashOf(root, inputs.page) : null,
    join: hasPage("join") ? hashOf(root, inputs.join) : null,
  };
  const dist = path.join(root, "dist");
  const present = readStamp(dist);
  const stale = parts.filter((part) => wanted[part] !== present[part]);
  if (stale.length === 0) return;
  console.log(`Building ${stale.map((part) => words[part]).join(" and ")} ...`);
  removeAbandoned(root);
  const work = mkdtempSync(path.join(root, workPrefix));
  try {
    const next = path.join(work, "next");
    const isPage = (file: string): boolean =>
      (path.relative(dist, file).split(path.sep)[0] ?? "") in pages;
    if (stale.includes("library") || !copied(dist, next, (file) => !isPage(file))) {
      buildLibrary(root, next);
    }
    for (const page of Object.keys(pages) as Page[]) {
      const to = path.join(next, page);
      if (!hasPage(page)) continue;
      if (stale.includes(page) || !copied(path.join(dist, page), to)) buildPage(root, page, to);
    }
    writeFileSync(path.join(next, stampName), `${JSON.stringify(wanted)}\n`);
    replace(dist, next, path.join(work, "last"));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Vitest calls it before tests that run what is built. */
export default (): void => buildStale();

function hashOf(root: string, patterns: readonly string[]): string {
  const hash = createHash("sha256");
  const files = globSync([...patterns, ...shared], {
    cwd: root,
    exclude: ["**/*.test.ts", "**/node_modules/**"],
  });
  for (const file of files.sort()) {
    const absolute = path.join(root, file);
    if (statSync(absolute).isDirectory()) continue;
    const bytes = readFileSync(absolute);
    hash.update(`${file.replaceAll("\\", "/")} ${bytes.length}\n`).update(bytes);
  }
  return hash.digest("hex");
}

function readStamp(dist: string): Stamp {
  try {
    return JSON.parse(readFileSync(path.join(dist, stampName), "utf8")) as Stamp;
  } catch {
    return { library: null, page: null, join: null };
  }
}

function buildLibrary(root: string, to: string): void {
  tool(root, "tsc", ["-p", "tsconfig.build.json", "--outDir", to]);
  for (const file of globSync("**/*.{js,d.ts}", { cwd: to }))
    rewriteExtensions(path.join(to, file));
  const generated = "compile/onnx/onnx_pb";
  for (const extension of [".js", ".d.ts"]) {
    cpSync(path.join(root, "src", generated + extension), path.join(to, generated + extension));
  }
  const python = "nodejs/autograd.py";
  cpSync(path.join(root, "src", python), path.join(to, python));
}

/**
 * The compiler turns `./a.ts` into `./a.js` in the imports of scripts, but leaves it in
 * declarations and where a worker thread is named: `new URL("./a.ts", import.meta.url)`.
 */
function rewriteExtensions(file: string): void {
  const text = readFileSync(file, "utf8");
  const pattern = /((?:\bfrom|\bimport|\bimport\(|new URL\()\s*"\.{1,2}\/[^"\n]+)\.ts"/g;
  const rewritten = text.replace(pattern, '$1.js"');
  if (rewritten !== text) writeFileSync(file, rewritten);
}

function buildPage(root: string, page: Page, to: string): void {
  const args = ["build", pages[page], "--outDir", to, "--emptyOutDir", "--logLevel", "warn"];
  tool(root, "vite", args);
}

function tool(root: string, name: string, args: readonly string[]): void {
  const command = path.join(root, "node_modules", ".bin", name);
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: "inherit",
    shell: process.platform === "win32",
  });
  if (status !== 0) {
    throw new Error(`${name} failed${error === undefined ? "" : `: ${error.message}`}`);
  }
}

/** Takes over what is fresh; false where another build has just put its own in the place. */
function copied(from: string, to: string, filter = (_file: string): boolean => true): boolean {
  try {
    cpSync(from, to, { recursive: true, filter });
    return true;
  } catch {
    rmSync(to, { recursive: true, force: true });
    return false;
  }
}

const attemptsMax = 100;

/** Puts `next` in the place of `dist`, once more where another build has just done the same. */
function replace(dist: string, next: string, last: string): void {
  for (let attempt = 1; ; attempt++) {
    try {
      rmSync(last, { recursive: true, force: true });
      if (existsSync(dist)) renameSync(dist, last);
      return renameSync(next, dist);
    } catch (error) {
      const { code = "" } = error as NodeJS.ErrnoException;
      if (!["ENOENT", "ENOTEMPTY", "EEXIST"].includes(code) || attempt === attemptsMax) throw error;
    }
  }
}

function removeAbandoned(root: string): void {
  for (const name of readdirSync(root)) {
    if (!name.startsWith(workPrefix)) continue;
    const folder = path.join(root, name);
    const age = Date.now() - (statSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (age > abandonedMs) rmSync(folder, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  try {
    buildStale(process.argv[2]);
  } catch (error) {
    console.error(`error: setup: ${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  }
}
