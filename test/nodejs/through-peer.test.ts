/** Workers by whose word a run's coordinator is found, over real sockets: who joins, and who has lost it. */
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { join } from "../../src/nodejs/join.ts";
import { listenForPeers, type PeerListener } from "../../src/nodejs/peer-sockets.ts";
import { askPeer, findThroughPeers, printedPeer, readPeer } from "../../src/nodejs/through-peer.ts";
import { RunTokens } from "../../src/nodejs/tokens.ts";
import { ask, joinAt, type ServedRun, serveRun, tinyEngine } from "./served-run.ts";

const folder = mkdtempSync(joinPath(tmpdir(), "edgeloom-via-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const open = new Set<{ close(): void }>();
afterEach(() => {
  for (const one of open) one.close();
  open.clear();
});

async function openDoor(place: string): Promise<PeerListener> {
  const door = await listenForPeers(place);
  open.add(door);
  return door;
}

const ca = "A".repeat(43);
const elsewhere = { url: "wss://192.0.2.7:7070", ca };

describe("a worker that listens", () => {
  it("tells where its coordinator is to who names the authority, over its own certificate alone", async () => {
    const door = await openDoor("0.0.0.0:0");
    const nothing = /knows no coordinator/;
    await expect(askPeer(door.address, ca)).rejects.toThrow(nothing);
    door.coordinator = elsewhere;
    const here = { ...door.address, url: door.address.url.replace(/\/\/[^:]+:/, "//127.0.0.1:") };
    expect(await askPeer(here, ca)).toBe(elsewhere.url);
    await expect(askPeer(here, "B".repeat(43))).rejects.toThrow(nothing);
    await expect(askPeer(here, null)).rejects.toThrow(nothing);
    const other = { ...here, fingerprint: "C".repeat(43) };
    await expect(askPeer(other, ca)).rejects.toThrow(/another fingerprint/);
    expect(readPeer(printedPeer(here))).toEqual(here);
  });

  it("tells no page, nobody from elsewhere of what is on this machine alone, and nothing but that", async () => {
    const door = await openDoor("127.0.0.1:0");
    const local = { url: "ws://127.0.0.1:7070", ca: null };
    door.coordinator = local;
    expect(await askPeer(door.address, null)).toBe(local.url);
    const origin = door.address.url.replace(/^ws/, "http").replace("/peer", "");
    const status = async (path: string, options: Parameters<typeof ask>[2] = {}) =>
      (await ask(origin, path, options)).status;
    expect(await status("/coordinator?ca=")).toBe(200);
    expect(await status("/coordinator?ca=", { headers: { origin: "http://page" } })).toBe(404);
    expect(await status("/coordinator?ca=", { headers: { host: "rebound.example" } })).toBe(404);
    expect(await status("/coordinator?ca=", { method: "POST" })).toBe(404);
    expect(await status("/coordinator")).toBe(404);
    expect(await status("/")).toBe(404);
    const wide = await openDoor("0.0.0.0:0");
    wide.coordinator = local;
    await expect(askPeer(wide.address, null)).rejects.toThrow(/knows no coordinator/);
  });

  it("is not believed where it names what no token may be shown at", async () => {
    const door = await openDoor("127.0.0.1:0");
    for (const url of ["ws://192.0.2.1:1", "http://127.0.0.1:1", "nonsense", "wss://192.0.2.1:1"]) {
      door.coordinator = { url, ca: null };
      await expect(askPeer(door.address, null)).rejects.toThrow(/names no address/);
    }
    for (const text of ["wss://127.0.0.1:1/peer", "ws://192.0.2.1:1/peer", "wss://h:1/x#A", "?"]) {
      expect(() => readPeer(text)).toThrow(/--via: got/);
    }
  });
});

describe("who knows a worker of a run alone", () => {
  const state = joinPath(folder, "state");
  let run: ServedRun;
  beforeAll(async () => {
    run = await serveRun(joinPath(folder, "tls"), {
      devices: 1,
      reach: { host: "0.0.0.0", state, names: ["127.0.0.1"] },
    });
  });
  afterAll(async () => {
    run.serving.interrupt("the test is over");
    await run.serving.ended;
  });

  it("finds the server that proves itself, passes over those who lie, and joins", async () => {
    const authority = present(run.serving.fingerprint, "a fingerprint");
    const edge = await join({
      url: run.serving.url,
      token: await new RunTokens(run.path).issue("edge", "near", 1),
      ...{ ca: authority, name: "a-near-edge", kind: "edge", listen: "0.0.0.0:0" },
      ...{ duty: 1, memoryBytes: null, ceilingBytesPerMs: null, train: null },
      ...{ engine: tinyEngine(), onEvent: () => {} },
    });
    const honest = present(edge.via, "its address");
    expect(honest).toMatch(/^wss:.*\/peer#[\w-]{43}$/);
    const liar = await openDoor("0.0.0.0:0");
    // Somebody is there, and shows another authority's certificate.
    liar.coordinator = { url: liar.address.url.replace("/peer", ""), ca: authority };
    const gone = "wss://127.0.0.1:1/peer#".concat(ca);
    const lie = printedPeer(liar.address);
    const found = await findThroughPeers({ via: [gone, lie, honest], ca: authority });
    expect(found).toBe(run.serving.url);
    await expect(findThroughPeers({ via: [gone, lie], ca: authority })).rejects.toThrow(
      /--via: got .*ECONNREFUSED.*; wss:.*: .*allowed: workers of the run/,
    );
    const token = present(run.serving.tokens[0], "a token");
    const device = await joinAt(found, { token, ca: authority, name: "d0" });
    expect((await run.serving.ended).reason).toBe("finished");
    for (const { ended } of [edge, device]) expect((await ended).reason).toBe("finished");
  });
});

/** Passes bytes on to a port until it is closed. */
async function wayTo(port: number): Promise<{ readonly port: number; close(): void }> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    for (const [from, to] of [[near, far] as const, [far, near] as const]) {
      sockets.add(from);
      from.pipe(to).on("error", () => {});
      from.on("error", () => {}).on("close", () => void to.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const way = {
    port: (server.address() as { port: number }).port,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
  open.add(way);
  return way;
}

it("a worker whose server is not where it was comes back where a neighbour is connected to it", async () => {
  /** Far more than the way to a server takes, on a hundredth of a core. */
  const msPerNumber = 0.01;
  const options = { devices: 1, rounds: 40, ownDuty: 0.001, msPerNumber };
  const run = await serveRun(joinPath(folder, "moved"), options);
  const way = await wayTo(Number(new URL(run.serving.url).port));
  const common = { duty: 1, memoryBytes: null, ceilingBytesPerMs: null } as const;
  const edge = await join({
    ...{ ...common, url: run.serving.url, kind: "edge", listen: "127.0.0.1:0", train: null },
    token: await new RunTokens(run.path).issue("edge", "near", 1),
    ...{ name: "a-near-edge", engine: tinyEngine(msPerNumber), onEvent: () => {} },
  });
  const device = await joinAt(`ws://127.0.0.1:${way.port}`, {
    ...{ token: present(run.serving.tokens[0], "a token"), name: "d0" },
    ...{ duty: 0.01, engine: tinyEngine(msPerNumber) },
  });
  const rounds = () => run.records.filter(({ type }) => type === "round").length;
  while (rounds() < 3) await sleep(20);
  // Nobody will be there any more; the neighbour knows another way.
  way.close();
  expect((await run.serving.ended).reason).toBe("finished");
  for (const { ended } of [edge, device]) expect((await ended).reason).toBe("finished");
  expect(run.records.flatMap((one) => (one.type === "left" ? [one.name] : []))).toContain("d0");
  expect(rounds()).toBe(40);
}, 60_000);
