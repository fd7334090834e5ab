import { interpreterEngine } from "../../src/sim/engines.ts";
import { simHost } from "../../src/sim/host.ts";
import { World } from "../../src/sim/world.ts";
import { hostSamples, testHost } from "../contract/host.ts";
import { testStore } from "../contract/store.ts";

function open() {
  const world = new World();
  const files = new Map<string, Uint8Array>();
  const host = simHost(world, {
    name: "node",
    seed: 1,
    engine: interpreterEngine(),
    profile: { segments: [{ forwardMs: 300, backwardMs: 0, updateMs: 0 }], runMs: 1, callMs: 1 },
    batch: 4,
    train: hostSamples(),
    test: null,
    files,
    record: () => {},
  });
  const until = (isSo: () => boolean): Promise<void> => world.run(isSo);
  return { world, host, files, until, end: async () => {} };
}

// Its numbers come from the interpreter, its times from the profile.
testHost("in virtual time", async () => open(), { longProducts: 1 });

testStore(
  "in virtual time",
  async () => {
    const { host, files, until, end } = open();
    return { store: host.store, look: async (name) => files.get(name) ?? null, until, end };
  },
  { neverFails: "it is a map, and takes every name" },
);
