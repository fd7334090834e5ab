/** The native engine against the contract, and what is its own: threads, loading, its end. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { EdgeloomError, InputError } from "../../src/base/errors.ts";
import { float32, hollow } from "../../src/base/tensor.ts";
import { NativeEngine } from "../../src/nodejs/engine.ts";
import { testEngine } from "../contract/engine.ts";

testEngine("native", () => new NativeEngine());

test("the native engine says what runs underneath", async () => {
  const engine = new NativeEngine({ threads: 2 });
  expect(engine.description).toMatch(/^onnxruntime-node \d+\.\d+\.\d+, 2 threads$/);
  await engine.close();
});

test.each([0, 1.5, Number.NaN, -1])("the native engine refuses %s threads", (threads) => {
  expect(() => new NativeEngine({ threads })).toThrow(InputError);
});

test("the native engine refuses tensors without values, or whose memory is gone", async () => {
  const engine = new NativeEngine();
  const value = float32([2], [1, 2]);
  await engine.write(new Map([["x", value]]));
  await expect(engine.write(new Map([["y", value]]))).rejects.toThrow(/"y".*handed over before/);
  await expect(engine.write(new Map([["y", hollow(value)]]))).rejects.toThrow(/"y".*no values/);
  await expect(engine.read(["y"])).rejects.toThrow(EdgeloomError);
  await engine.close();
});

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Runs a script in a process of its own, in a folder that holds `src`. */
const runScript = (folder: string, script: string) =>
  spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
    cwd: folder,
    encoding: "utf8",
    timeout: 30_000,
  });

test("an engine that nobody closes does not keep the process alive", () => {
  const child = runScript(
    root,
    `const { NativeEngine } = await import("./src/nodejs/engine.ts");
    const unused = new NativeEngine();
    const engine = new NativeEngine();
    await engine.drop("x");
    console.log("done");`,
  );
  expect(child.stderr).toBe("");
  expect(child.stdout).toBe("done\n");
  expect(child.status).toBe(0);
});

test("without onnxruntime-node every call says that it cannot be loaded, and close still ends", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "edgeloom-engine-"));
  try {
    cpSync(path.join(root, "src"), path.join(folder, "src"), { recursive: true });
    cpSync(path.join(root, "package.json"), path.join(folder, "package.json"));
    mkdirSync(path.join(folder, "node_modules"));
    const parts = path.join("node_modules", "@bufbuild");
    symlinkSync(path.join(root, parts), path.join(folder, parts), "dir");
    const child = runScript(
      folder,
      `const { NativeEngine } = await import("./src/nodejs/engine.ts");
      const engine = new NativeEngine();
      console.log(engine.description);
      for (const call of [engine.drop("x"), engine.read(["x"])]) {
        await call.catch((error) => console.log(error.name, error.message));
      }
      await engine.close();
      console.log("closed");`,
    );
    expect(child.stderr).toBe("");
    const [description, ...told] = child.stdout.trim().split("\n");
    expect(description).toBe("onnxruntime-node, 1 thread");
    expect(told).toEqual([
      expect.stringMatching(/^EdgeloomError onnxruntime-node cannot be loaded: .*onnxruntime-node/),
      expect.stringMatching(/^EdgeloomError onnxruntime-node cannot be loaded: .*onnxruntime-node/),
      "closed",
    ]);
    expect(child.status).toBe(0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
