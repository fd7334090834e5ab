/**
 * The contract of hosts and stores in a Web Worker, where the page's device lives too: some of
 * the browser's private files can be written from nowhere else. Answers each message with the results.
 */
import { WebEngine } from "../../../src/browser/engine.ts";
import { browserHost } from "../../../src/browser/host.ts";
import { webSocketLink } from "../../../src/browser/link.ts";
import { platform, type Socket } from "../../../src/browser/platform.ts";
import { openPrivateFiles, type PrivateFiles } from "../../../src/browser/store.ts";
import { hostSamples, testHost } from "../../contract/host.ts";
import { testLink } from "../../contract/link.ts";
import { testStore } from "../../contract/store.ts";
import { runSuites } from "./suite.ts";

const patienceMs = 15_000;

async function until(isSo: () => boolean): Promise<void> {
  const giveUpMs = performance.now() + patienceMs;
  while (!isSo() && performance.now() < giveUpMs) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

let folders = 0;

/** Private files that nothing else uses; null would be a page that has none. */
async function freshFiles(
  replacing: "writable" | "move",
): Promise<{ files: PrivateFiles; again(): Promise<PrivateFiles> }> {
  const folder = `test-${folders++}`;
  const open = async (): Promise<PrivateFiles> => {
    const files = await openPrivateFiles(folder, replacing);
    if (files === null) throw new Error("there are no private files here");
    return files;
  };
  return { files: await open(), again: open };
}

testHost(
  "of a browser",
  async () => {
    const engine = new WebEngine({ backend: "wasm" });
    const { files } = await freshFiles("writable");
    return {
      host: browserHost({ engine, train: hostSamples(), store: files }),
      until,
      end: () => engine.close(),
    };
  },
  // Browsers wait for at least 4 ms once timers call each other, and this machine may be busy.
  { timerMs: 20 },
);

for (const replacing of ["writable", "move"] as const) {
  testStore(`in private files, replaced by ${replacing}`, async () => {
    const { files, again } = await freshFiles(replacing);
    // Another handle on the same files has no part in the order of the first one's calls.
    const other = await again();
    return { store: files, look: (name) => other.read(name), until, end: async () => {} };
  });
}

let relays = 0;

function openSocket(relay: string): Promise<Socket> {
  const { host } = (globalThis as unknown as { location: { host: string } }).location;
  const socket = new platform.WebSocket(`ws://${host}/${relay}`);
  return new Promise((resolve, reject) => {
    socket.addEventListener("open", () => resolve(socket));
    socket.addEventListener("error", () => reject(new Error("the relay does not answer")));
  });
}

// Browsers take no connections: the server of the page passes messages on between two of them.
testLink({
  name: "over a browser's WebSockets",
  async open() {
    const relay = `relay-${relays++}`;
    const [near, far] = await Promise.all([openSocket(relay), openSocket(relay)]);
    return [webSocketLink(near), webSocketLink(far)];
  },
  until,
  carriesHollow: false,
});

const scope = globalThis as unknown as {
  postMessage(message: unknown): void;
  addEventListener(type: "message", listener: () => void): void;
};
scope.addEventListener("message", () => {
  void runSuites(60_000).then((results) => scope.postMessage(results));
});
