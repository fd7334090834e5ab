/**
 * The package as a user meets it: packed, put into an empty project with nothing
 * beside it but its own dependencies, then run, imported, type-checked and
 * bundled there. The dependencies are links into this repository, so that no
 * test leaves the machine.
 */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = path.resolve(import.meta.dirname, "../..");
const folder = mkdtempSync(path.join(tmpdir(), "edgeloom-package-"));
const project = path.join(folder, "project");
const installed = path.join(project, "node_modules/edgeloom");
const bin = path.join(installed, "bin/edgeloom.js");
const manifest = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"));
const isWindows = process.platform === "win32";

/** Runs a command in the empty project. Rejects with its output when it fails. */
const run = (command: string, ...args: string[]): Promise<{ stdout: string; stderr: string }> =>
  promisify(execFile)(command, args, { cwd: project, shell: isWindows, timeout: 50_000 });
const tool = (name: string): string => path.join(root, "node_modules/.bin", name);
const write = (file: string, text: string): void => {
  mkdirSync(path.dirname(path.join(project, file)), { recursive: true });
  writeFileSync(path.join(project, file), text);
};

beforeAll(async () => {
  await promisify(execFile)("npm", ["pack", "--silent", "--pack-destination", folder], {
    cwd: root,
    shell: isWindows,
  });
  const tarball = path.join(folder, `edgeloom-${manifest.version}.tgz`);
  mkdirSync(installed, { recursive: true });
  await promisify(execFile)("tar", ["-xzf", tarball, "-C", installed, "--strip-components=1"]);
  for (const name of Object.keys({
    ...manifest.dependencies,
    ...manifest.optionalDependencies,
  })) {
    const source = path.join(root, "node_modules", name);
    const target = path.join(project, "node_modules", name);
    mkdirSync(path.dirname(target), { recursive: true });
    if (existsSync(source)) symlinkSync(source, target, "junction");
  }
  // What npm does with "bin".
  chmodSync(bin, 0o755);
  mkdirSync(path.join(project, "node_modules/.bin"));
  symlinkSync(bin, path.join(project, "node_modules/.bin/edgeloom"));
  write("package.json", '{ "name": "empty", "private": true, "type": "module" }');
}, 60_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("the tarball", () => {
  it("holds what runs, its declarations and its documents, and no sources, tests or stamps", () => {
    expect(readdirSync(installed).sort()).toEqual(
      ["CHANGELOG.md", "LICENSE", "README.md", "bin", "dist", "docs", "package.json"].sort(),
    );
    const files = globSync("**/*", { cwd: installed });
    for (const entry of ["index", "nodejs", "browser", "sim"]) {
      expect(files).toContain(path.normalize(`dist/${entry}.js`));
      expect(files).toContain(path.normalize(`dist/${entry}.d.ts`));
    }
    expect(files).toContain(path.normalize("dist/page/index.html"));
    expect(files).toContain(path.normalize("dist/join/index.html"));
    expect(files.filter((file) => /\.test\.|(?<!\.d)\.ts$|\.stamp|reference/.test(file))).toEqual(
      [],
    );
  });

  it("names only files that it holds", () => {
    const missing: string[] = [];
    for (const file of globSync("dist/**/*.{js,d.ts}", { cwd: installed })) {
      if (/^dist.(page|join)\b/.test(file)) continue;
      const text = readFileSync(path.join(installed, file), "utf8");
      const names = text.matchAll(/(?:\bfrom|\bimport\(|new URL\()\s*"(\.{1,2}\/[^"]+)"/g);
      for (const [, name = ""] of names) {
        const target = path.join(installed, path.dirname(file), name);
        const declaration = target.replace(/\.js$/, ".d.ts");
        if (!existsSync(file.endsWith(".d.ts") ? declaration : target)) {
          missing.push(`${file}: ${name}`);
        }
      }
    }
    expect(missing).toEqual([]);
  });
});

describe("the command line", () => {
  it("says its version", async () => {
    const { stdout } = await run("npx", "--offline", "edgeloom", "--version");
    expect(stdout.trim()).toBe(manifest.version);
  });

  it("says what to do in a checkout that is not built yet", async () => {
    const copy = path.join(folder, "checkout/bin/edgeloom.js");
    mkdirSync(path.dirname(copy), { recursive: true });
    cpSync(bin, copy);
    const failed = await run(process.execPath, copy, "--version").catch((error) => error);
    expect([failed.code, failed.stderr]).toEqual([
      2,
      "error: Edgeloom is not built yet: run npm run setup\n",
    ]);
  });

  it("trains a job file and leaves a run", async () => {
    write(
      "job.yaml",
      "model: mlp\ndata: mnist\nrounds: 2\nlocalBatches: 5\nname: first\nevaluate: { samples: 100 }\n",
    );
    const { stdout, stderr } = await run(process.execPath, bin, "train", "job.yaml");
    expect(stderr).toBe("");
    expect(stdout).toMatch(/Test accuracy \d+\.\d\d % after 2 of 2 rounds/);
    const [name = ""] = readdirSync(path.join(project, "runs"));
    expect(readdirSync(path.join(project, "runs", name))).toEqual(
      expect.arrayContaining(["model.onnx", "weights.safetensors", "records.jsonl", "report.html"]),
    );
  });

  it("runs the demo over processes of its own", async () => {
    const args = [bin, "demo", "--runs", "demo-runs"];
    const demo = spawn(process.execPath, args, { cwd: project, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    let isStopped = false;
    for (const stream of [demo.stdout, demo.stderr]) {
      stream.on("data", (chunk) => {
        output += chunk;
        const isTraining = /^round +2\/45 /m.test(output);
        if (isTraining && !isStopped) demo.kill("SIGINT");
        isStopped ||= isTraining;
      });
    }
    const limit = setTimeout(() => demo.kill("SIGKILL"), 50_000);
    const [code] = await once(demo, "close");
    clearTimeout(limit);
    expect(code, output).toBe(130);
    expect(readdirSync(path.join(project, "demo-runs"))).toHaveLength(1);
  });
});

const program = `
import { arrayDataset, evaluate, plan, SampleSource, Sequential, train } from "edgeloom";

const model = new Sequential("sign", [1], 1).linear("answer", 2).model();
const features = Array.from({ length: 64 }, (_, i) => (i - 31.5) / 32);
const labels = features.map((x) => (x < 0 ? 0 : 1));
const samples = new SampleSource(arrayDataset(features, labels, { inputShape: [1] }));
const trained = await train({ job: { batch: 16, rounds: 5 }, model, train: samples });
const { accuracy } = await evaluate({ model: trained.model, test: samples });
const planned = await plan({ job: { model: "mlp", fleet: { devices: 2 } } });
console.log(trained.end.reason, (accuracy ?? 0) > 0.9, planned.plan.chains.length);
`;

describe("the library", () => {
  it("trains, measures and plans in a program that imports it by name", async () => {
    write("main.mjs", program);
    const { stdout, stderr } = await run(process.execPath, "main.mjs");
    expect(stderr).toBe("");
    expect(stdout.trim()).toBe("finished true 2");
  });

  it("has types for programs that check every declaration strictly", async () => {
    write("src/main.ts", `${program}\nexport const wrong: string = trained.summary.rounds;\n`);
    const options = {
      target: "esnext",
      module: "nodenext",
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      noEmit: true,
      lib: ["esnext", "dom"],
      types: [],
    };
    write("tsconfig.json", JSON.stringify({ compilerOptions: options, include: ["src"] }));
    // The one line that is wrong proves that types are there and are not "any".
    const failed = await run(tool("tsc"), "--pretty", "false").catch((error) => error);
    expect(failed.stdout.trim()).toBe(
      "src/main.ts(13,14): error TS2322: Type 'number' is not assignable to type 'string'.",
    );
  });

  it("gives browsers its core and nothing of Node.js", async () => {
    write("web/index.html", '<script type="module" src="./main.js"></script>\n');
    write(
      "web/main.js",
      'import * as edgeloom from "edgeloom";\ndocument.title = Object.keys(edgeloom).join(" ");\n',
    );
    await run(tool("vite"), "build", "web", "--outDir", "../site", "--logLevel", "error");
    const scripts = globSync("site/assets/*.js", { cwd: project });
    expect(scripts).toHaveLength(1);
    const text = readFileSync(path.join(project, scripts[0] ?? ""), "utf8");
    // Not `expect(text)`: a failure would print all of it.
    expect(text.includes("parseJob")).toBe(true);
    expect(text.match(/["'`](node:\w+|onnxruntime\S*|multicast-dns|ws)["'`]/g)).toBeNull();
  });
});
