/** The native engine against the contract, and what is its own: threads, loading, its end. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { InputError } from "../../src/base/errors.ts";
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

test("an engine that nobody closes does not keep the process alive", () => {
  const url = new URL("../../src/nodejs/engine.ts", import.meta.url);
  const script = `
    const { NativeEngine } = await import(${JSON.stringify(url.href)});
    const engine = new NativeEngine();
    await engine.load([]);
    await engine.drop("x");
    console.log("done");
  `;
  const child = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
    encoding: "utf8",
    timeout: 20_000,
  });
  expect(child.stdout).toBe("done\n");
  expect(child.status).toBe(0);
});
