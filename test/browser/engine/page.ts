/** The script of the page in which engines are tested: runs the suites it is told, when it is told. */
import { WebEngine, type WebEngineOptions } from "../../../src/browser/engine.ts";
import { testEngine } from "../../contract/engine.ts";
import type { OperatorCase } from "../../contract/operator-cases.ts";
import { testPrograms } from "../../contract/programs.ts";
import { runSuites, type TestResult } from "./suite.ts";

/** What to test, and with which recorded cases. */
export interface PageRequest {
  readonly name: string;
  readonly options: WebEngineOptions;
  readonly cases: readonly OperatorCase[];
  /** Why it cannot run some cases, by name. */
  readonly cannot: Readonly<Record<string, string>>;
}

async function testInPage(request: PageRequest): Promise<TestResult[]> {
  const { name, options, cases, cannot } = request;
  const makeEngine = (): WebEngine => new WebEngine(options);
  testEngine(name, makeEngine, {
    // Where the GPU is a program on the CPU, it takes seconds for a product.
    ...(options.backend === "webgpu" ? { longProducts: 1 } : {}),
    // Browsers wait for at least 4 ms, and threads or a software GPU may hold every core.
    timerMs: 12,
  });
  if (cases.length > 0) testPrograms(name, makeEngine, cases, cannot);
  return runSuites(60_000);
}

/** Runs the contracts of hosts and stores in a worker. */
function testWorld(): Promise<TestResult[]> {
  const worker = new Worker(new URL("./world.ts", import.meta.url), { type: "module" });
  return new Promise((resolve, reject) => {
    worker.addEventListener("message", ({ data }) => resolve(data as TestResult[]));
    worker.addEventListener("error", ({ message }) => reject(new Error(message)));
    worker.postMessage("run");
  });
}

// What is used of Web Workers: this file is type-checked with Node.js's types.
declare const Worker: new (
  url: URL,
  options: { readonly type: "module" },
) => {
  addEventListener(
    type: "message" | "error",
    listener: (event: { readonly data?: unknown; readonly message?: string }) => void,
  ): void;
  postMessage(message: unknown): void;
};

Object.assign(globalThis, { testInPage, testWorld });
