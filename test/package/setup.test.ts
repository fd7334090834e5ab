import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = path.resolve(import.meta.dirname, "../..");
const tree = mkdtempSync(path.join(tmpdir(), "edgeloom-setup-"));
const dist = path.join(tree, "dist");

const write = (file: string, text: string): void => {
  mkdirSync(path.dirname(path.join(tree, file)), { recursive: true });
  writeFileSync(path.join(tree, file), text);
};
const built = (file: string): string => readFileSync(path.join(dist, file), "utf8");
/** Of the folder, which a build replaces. */
const identity = (): number => statSync(dist).ino;

/** `node scripts/setup.ts` for the small tree. */
async function setup(): Promise<{ code: number; output: string }> {
  const child = spawn(process.execPath, [path.join(root, "scripts/setup.ts"), tree]);
  let output = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  child.stderr.on("data", (chunk) => {
    output += chunk;
  });
  const [code] = await once(child, "close");
  return { code, output };
}

/** A tree with all that a build of the library reads, and no page. */
beforeAll(() => {
  for (const file of ["tsconfig.base.json", "tsconfig.build.json"]) {
    cpSync(path.join(root, file), path.join(tree, file));
  }
  symlinkSync(path.join(root, "node_modules"), path.join(tree, "node_modules"), "junction");
  write("package.json", '{ "type": "module" }');
  write("src/compile/onnx/onnx_pb.js", "export const generated = 1;\n");
  write("src/compile/onnx/onnx_pb.d.ts", "export declare const generated: number;\n");
  write("src/nodejs/autograd.py", "print('a script that travels with the library')\n");
  write("src/b.ts", "/** Why b is. */\nexport interface B {\n  readonly b: number;\n}\n");
  write("src/thread.ts", "export {};\n");
  write("src/a.test.ts", "export {};\n");
  write(
    "src/a.ts",
    [
      'import { Worker } from "node:worker_threads";',
      'import type { B } from "./b.ts";',
      'export { generated } from "./compile/onnx/onnx_pb.js";',
      "export const b: B = { b: 1 };",
      'export type Later = import("./b.ts").B;',
      'export const start = (): Worker => new Worker(new URL("./thread.ts", import.meta.url));',
      "",
    ].join("\n"),
  );
});

afterAll(() => rmSync(tree, { recursive: true, force: true }));

describe("setup", () => {
  it("builds scripts and declarations that name each other by .js, without tests", async () => {
    expect(await setup()).toEqual({ code: 0, output: "Building the library ...\n" });
    expect(built("a.js")).toContain('new URL("./thread.js", import.meta.url)');
    expect(built("a.d.ts")).toContain('from "./b.js"');
    expect(built("a.d.ts")).toContain('import("./b.js").B');
    expect(built("b.d.ts")).toContain("Why b is.");
    expect(existsSync(path.join(dist, "a.test.js"))).toBe(false);
    const { generated } = await import(path.join(dist, "a.js"));
    expect(generated).toBe(1);
  });

  it("does nothing and says nothing when everything is fresh, also after a change of a test", async () => {
    const before = identity();
    write("src/a.test.ts", "export const changed = 1;\n");
    expect(await setup()).toEqual({ code: 0, output: "" });
    expect(identity()).toBe(before);
  });

  it("builds again after a change and after a removal", async () => {
    write("src/b.ts", "export interface B {\n  readonly b: number;\n}\nexport const two = 2;\n");
    expect((await setup()).output).toBe("Building the library ...\n");
    expect(built("b.js")).toContain("two = 2");
    rmSync(path.join(tree, "src/thread.ts"));
    expect((await setup()).output).toBe("Building the library ...\n");
    expect(existsSync(path.join(dist, "thread.js"))).toBe(false);
  });

  it("leaves the last build where a new one fails, and tries again", async () => {
    const before = identity();
    write("src/c.ts", "export const = 1;\n");
    const { code, output } = await setup();
    expect(code).toBe(1);
    expect(output).toMatch(/src\/c\.ts.*error[\s\S]*error: setup: tsc failed/);
    expect(identity()).toBe(before);
    rmSync(path.join(tree, "src/c.ts"));
    expect(await setup()).toEqual({ code: 0, output: "" });
  });

  it("survives several at once, and leaves nothing beside dist", async () => {
    write("src/c.ts", "export const three = 3;\n");
    const results = await Promise.all([setup(), setup(), setup()]);
    expect(results.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(built("c.js")).toContain("three = 3");
    expect(readdirSync(tree).filter((name) => name.startsWith(".dist-"))).toEqual([]);
    expect((await setup()).output).toBe("");
  });
});
