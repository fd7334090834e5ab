/**
 * The browser's world in Chromium: the contracts of hosts, links, stores and engines, every recorded
 * operator and LeNet-5, in WebAssembly and on WebGPU. The suites run in the page;
 * each of their tests is a test here. WebGPU is a software adapter, which
 * computes what a GPU would, slowly: it gets one case of each operator, and all
 * of them with EDGELOOM_EVERY_CASE=1, in some minutes.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import sirv from "sirv";
import { describe, expect, test } from "vitest";
import { ruleOf } from "../../src/compile/ops/table.ts";
import type { OperatorCase } from "../contract/operator-cases.ts";
import { operatorCases } from "../golden/read-fixtures.ts";
import { launch } from "./browser.ts";
import type { PageRequest } from "./engine/page.ts";
import type { TestResult } from "./engine/suite.ts";
import { relay } from "./relay.ts";

const root = path.resolve(import.meta.dirname, "../..");
const isEveryCase = process.env.EDGELOOM_EVERY_CASE === "1";
const limitMs = isEveryCase ? 400_000 : 280_000;

const noNaN = "shaders may assume that there is neither NaN nor infinity, and the case makes them";
const onGpuCannot = {
  IsNaN: noNaN,
  IsInf: noNaN,
  "IsInf, negative only": noNaN,
  "Cast to float64 and back": "WebGPU has no float64",
};

/**
 * The first case of each operator, or of each set of operators that one case is made of. What is
 * written out in other operators (a recurrent network) runs as those, and is left out.
 */
function firstCases(): OperatorCase[] {
  const kept = operatorCases.filter(({ nodes }) =>
    nodes.every(({ op }) => ruleOf(op).lower === undefined),
  );
  const operators = ({ nodes }: OperatorCase): string =>
    [...new Set(nodes.map(({ op }) => op))].sort().join();
  return [...Map.groupBy(kept, operators).values()].flatMap(([first]) => first ?? []);
}

const requests: readonly PageRequest[] = [
  { name: "WASM", options: { backend: "wasm" }, cases: operatorCases, cannot: {} },
  {
    name: "WASM, 2 threads",
    options: { backend: "wasm", threads: 2, wasmPaths: "/ort/" },
    cases: [],
    cannot: {},
  },
  {
    name: "WebGPU",
    options: { backend: "webgpu" },
    cases: isEveryCase ? operatorCases : firstCases(),
    cannot: onGpuCannot,
  },
];

const world = "the world of a peer";

/** Builds the page into a folder. */
function build(folder: string): void {
  const vite = path.join(root, "node_modules/.bin/vite");
  const args = ["build", "test/browser/engine", "--outDir", folder, "--logLevel", "warn"];
  const { status, stderr } = spawnSync(vite, args, {
    cwd: root,
    encoding: "utf8",
    shell: process.platform === "win32",
    timeout: 60_000,
  });
  if (status !== 0) throw new Error(`the page of engines cannot be built: ${stderr}`);
}

/** Serves the page isolated, so that threads may share memory, with ONNX Runtime's files beside it. */
async function serve(folder: string): Promise<{ url: string; close(): void }> {
  const setHeaders = (response: ServerResponse): void => {
    response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
    response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
  };
  const page = sirv(folder, { setHeaders });
  const runtime = path.dirname(fileURLToPath(import.meta.resolve("onnxruntime-web")));
  const files = sirv(runtime, { setHeaders });
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const { url = "" } = request;
    const missing = (): void => void response.writeHead(404).end();
    if (!url.startsWith("/ort/")) return page(request, response, missing);
    request.url = url.slice("/ort".length);
    files(request, response, missing);
  });
  relay(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** What the page says of every test, by the name of the engine. */
async function results(): Promise<ReadonlyMap<string, readonly TestResult[]>> {
  const folder = mkdtempSync(path.join(tmpdir(), "edgeloom-engines-"));
  const told = new Map<string, readonly TestResult[]>();
  build(folder);
  const site = await serve(folder);
  const browser = await launch(["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]);
  // A page that hangs is ended with its browser, which rejects what it was asked.
  const timer = setTimeout(() => void browser.close(), limitMs);
  try {
    const page = await browser.newPage();
    await page.goto(site.url);
    told.set(world, (await page.evaluate("testWorld()")) as TestResult[]);
    for (const request of requests) {
      const call = `testInPage(${JSON.stringify(request)})`;
      told.set(request.name, (await page.evaluate(call)) as TestResult[]);
    }
    return told;
  } finally {
    clearTimeout(timer);
    await browser.close();
    site.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

const told = await results();

/** Each test that the page has run is a test here. */
function testAsTold(found: readonly TestResult[]): void {
  for (const { name: title, failure, skipped } of found) {
    test(title, ({ skip }) => {
      if (skipped !== null) skip(skipped);
      expect(failure).toBeNull();
    });
  }
}

describe.each(requests)("in Chromium on $name", ({ name, cases }) => {
  const found = told.get(name) ?? [];

  test("the page ran every test", () => {
    // At least the contract, and with cases each of them and LeNet-5.
    expect(found.length).toBeGreaterThan(20 + (cases.length === 0 ? 0 : cases.length + 1));
  });
  testAsTold(found);
});

describe("in Chromium", () => {
  const found = told.get(world) ?? [];

  test("the worker ran every test", () => {
    expect(found.length).toBeGreaterThanOrEqual(8 + 2 * 6 + 8);
  });
  testAsTold(found);
});
