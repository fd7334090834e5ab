/** From where a server is reached, on a machine whose addresses change. */
import { mkdtempSync, rmSync } from "node:fs";
import type { NetworkInterfaceInfo } from "node:os";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it, vi } from "vitest";
import { reachOf } from "../../src/nodejs/reach.ts";

let addresses: string[] = [];
vi.mock("node:os", async (original) => ({
  ...(await original<typeof import("node:os")>()),
  networkInterfaces: (): Record<string, Partial<NetworkInterfaceInfo>[]> => ({
    lan: addresses.map((address) => ({ address, family: "IPv4", internal: false })),
  }),
}));

const state = mkdtempSync(join(tmpdir(), "edgeloom-reach-"));
afterAll(() => rmSync(state, { recursive: true, force: true }));

it("a machine with a new address may be called by it once its certificate is renewed", async () => {
  addresses = ["192.0.2.1"];
  const reach = await reachOf({ host: "0.0.0.0", state });
  expect(reach.shown).toBe("192.0.2.1");
  const isOwn = (): boolean[] => ["192.0.2.1", "192.0.2.2"].map((name) => reach.isOwnName(name));
  expect(isOwn()).toEqual([true, false]);
  addresses = ["192.0.2.2"];
  const renewed = await reach.renew?.();
  expect(renewed?.cert).not.toBe(reach.identity?.cert);
  // The authority stays: devices need no news of it.
  expect(renewed?.ca).toBe(reach.identity?.ca);
  expect(isOwn()).toEqual([false, true]);
});
