import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { NativeEngine } from "../../src/nodejs/engine.ts";
import { nodeHost } from "../../src/nodejs/host.ts";
import { folderStore } from "../../src/nodejs/store.ts";
import { hostSamples, testHost } from "../contract/host.ts";
import { testStore } from "../contract/store.ts";

const patienceMs = 15_000;

async function until(isSo: () => boolean): Promise<void> {
  const giveUpMs = performance.now() + patienceMs;
  while (!isSo() && performance.now() < giveUpMs) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

const makeFolder = (): string => mkdtempSync(path.join(tmpdir(), "edgeloom-host-"));

testHost("of Node.js", async () => {
  const folder = makeFolder();
  const engine = new NativeEngine({ threads: 1 });
  return {
    host: nodeHost({
      engine,
      train: hostSamples(),
      test: null,
      store: folderStore(folder),
      record: () => {},
    }),
    until,
    async end() {
      await engine.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
});

testStore("in a folder", async () => {
  const folder = makeFolder();
  return {
    store: folderStore(folder),
    async look(name) {
      try {
        return new Uint8Array(readFileSync(path.join(folder, name)));
      } catch {
        return null;
      }
    },
    until,
    end: async () => rmSync(folder, { recursive: true, force: true }),
  };
});
