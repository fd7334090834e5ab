/**
 * The browser's engine in WebAssembly under Node.js, where its tests are quick.
 * `test/browser` has it in a browser, and on WebGPU.
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { EdgeloomError, InputError } from "../../src/base/errors.ts";
import { float32 } from "../../src/base/tensor.ts";
import { WebEngine, type WebEngineOptions } from "../../src/browser/engine.ts";
import { testEngine } from "../contract/engine.ts";
import { testPrograms } from "../contract/programs.ts";
import { operatorCases } from "../golden/read-fixtures.ts";
import { WebWorker } from "./web-worker.ts";

beforeAll(() => {
  Object.assign(globalThis, { Worker: WebWorker });
});
afterAll(() => {
  Object.assign(globalThis, { Worker: undefined });
});

testEngine("WASM in Node.js, 1 thread", () => new WebEngine({ backend: "wasm" }));
testEngine("WASM in Node.js, 2 threads", () => new WebEngine({ backend: "wasm", threads: 2 }));
testPrograms("WASM in Node.js", () => new WebEngine({ backend: "wasm" }), operatorCases);

test("the browser's engine says what runs underneath, and it is the version installed", async () => {
  const file = new URL("../../node_modules/onnxruntime-web/package.json", import.meta.url);
  const { version } = JSON.parse(readFileSync(file, "utf8")) as { version: string };
  const described = async (options: WebEngineOptions): Promise<string> => {
    const engine = new WebEngine(options);
    await engine.close();
    return engine.description;
  };
  const wasm = `onnxruntime-web ${version}, WASM`;
  expect(await described({ backend: "wasm" })).toBe(`${wasm}, 1 thread`);
  expect(await described({ backend: "wasm", threads: 2 })).toBe(`${wasm}, 2 threads`);
  expect(await described({ backend: "webgpu" })).toBe(`onnxruntime-web ${version}, WebGPU`);
});

test("the browser's engine refuses threads and backends that there are not", () => {
  for (const threads of [0, 1.5, Number.NaN, -1]) {
    expect(() => new WebEngine({ backend: "wasm", threads })).toThrow(InputError);
  }
  expect(() => new WebEngine({ backend: "cuda" as "wasm" })).toThrow(/"wasm" or "webgpu"/);
});

test("without WebGPU every call says so, and close still ends", async () => {
  const engine = new WebEngine({ backend: "webgpu" });
  const value = () => new Map([["x", float32([1], [1])]]);
  await expect(engine.write(value())).rejects.toThrow(/WebGPU/);
  await expect(engine.read(["x"])).rejects.toThrow(EdgeloomError);
  await engine.close();
});

test("a worker that cannot start ends every call with the reason, and close still ends", async () => {
  class Broken extends WebWorker {
    constructor() {
      super(new URL("file:///nowhere.ts"));
    }
  }
  Object.assign(globalThis, { Worker: Broken });
  const engine = new WebEngine({ backend: "wasm" });
  Object.assign(globalThis, { Worker: WebWorker });
  await expect(engine.read(["x"])).rejects.toThrow(/worker has failed: .*nowhere/);
  await expect(engine.drop("x")).rejects.toThrow(/worker has failed/);
  await engine.close();
});

test("where there are no Web Workers, making the engine says so", () => {
  Object.assign(globalThis, { Worker: undefined });
  expect(() => new WebEngine({ backend: "wasm" })).toThrow(/Web Workers/);
  Object.assign(globalThis, { Worker: WebWorker });
});
