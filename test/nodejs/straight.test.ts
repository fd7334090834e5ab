/**
 * Workers that talk straight to each other over real sockets, through a proxy that cuts their
 * links in the middle of messages: the run's weights stay those of its single-process replay.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { present } from "../../src/base/assert.ts";
import { runId } from "../../src/base/ids.ts";
import { readSafetensors } from "../../src/base/safetensors.ts";
import { nodeHost } from "../../src/nodejs/host.ts";
import { type Joined, join } from "../../src/nodejs/join.ts";
import { startOwnWorker } from "../../src/nodejs/own-worker.ts";
import { dialPeer, listenForPeers, type PeerListener } from "../../src/nodejs/peer-sockets.ts";
import { RunTokens } from "../../src/nodejs/tokens.ts";
import { Coordinator } from "../../src/run/coordinator/coordinator.ts";
import type { CoordinatorEnd } from "../../src/run/coordinator/farewell.ts";
import type { Link, Outcome, PeerAddress } from "../../src/run/host.ts";
import type { RunRecord } from "../../src/run/metrics/record.ts";
import { decodePeerFrame, encodeFrame, joinFrame, splitFrame } from "../../src/run/wire/frame.ts";
import type { Message, PeerMessage } from "../../src/run/wire/messages.ts";
import type { RejoinerEvent } from "../../src/run/worker/rejoiner.ts";
import { interpreterEngine } from "../../src/sim/engines.ts";
import { replay } from "../../src/sim/replay.ts";
import { shard, smallFleet, smallJob, smallModel } from "../sim/small-job.ts";
import { type ServedRun, serveRun, tinyEngine } from "./served-run.ts";

const folder = mkdtempSync(joinPath(tmpdir(), "edgeloom-straight-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const open = new Set<{ close(): void }>();
afterEach(() => {
  for (const one of open) one.close();
  open.clear();
});

interface Proxy {
  readonly port: number;
  /** How many links it has cut. */
  readonly cuts: number;
  /** Bytes that it has taken since the last cut. */
  readonly passed: number;
  close(): void;
}

/**
 * Passes bytes on to a port; after every so many bytes it forgets what it was about to pass on and
 * cuts all that is open, without a word.
 */
async function cuttingProxy(port: number, everyBytes: number): Promise<Proxy> {
  const sockets = new Set<Socket>();
  let cuts = 0;
  let passed = 0;
  const pass = (from: Socket, to: Socket): void => {
    sockets.add(from);
    from.on("data", (bytes) => {
      passed += bytes.length;
      if (passed <= everyBytes) return void to.write(bytes);
      passed = 0;
      cuts++;
      for (const socket of sockets) socket.destroy();
    });
    from.on("error", () => {});
    from.on("close", () => {
      sockets.delete(from);
      to.destroy();
    });
  };
  const server: Server = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    pass(near, far);
    pass(far, near);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy = {
    port: (server.address() as { port: number }).port,
    get cuts() {
      return cuts;
    },
    get passed() {
      return passed;
    },
    close: () => server.close(),
  };
  open.add(proxy);
  return proxy;
}

/** A door, and its address as seen from this machine. */
async function openDoor(place: string): Promise<PeerListener & { port: number }> {
  const door = await listenForPeers(place);
  open.add(door);
  const { port, protocol } = new URL(door.address.url);
  const address: PeerAddress = {
    ...door.address,
    url: `${protocol}//127.0.0.1:${port}/peer`,
  };
  return Object.assign(door, { address, port: Number(port) });
}

interface RunOptions {
  readonly door: PeerListener;
  readonly rounds: number;
  readonly onRecord?: (record: RunRecord) => void;
}

/** The small job on real sockets between workers; each computes with the interpreter. */
async function run({ door, rounds, onRecord = () => {} }: RunOptions) {
  const job = smallJob({ rounds });
  const model = smallModel();
  const records: RunRecord[] = [];
  const files = new Map<string, Uint8Array>();
  const { promise, resolve, reject } = Promise.withResolvers<CoordinatorEnd>();
  const coordinator = new Coordinator(
    nodeHost({
      engine: interpreterEngine(),
      train: null,
      test: null,
      store: {
        write(name, bytes, done) {
          files.set(name, bytes);
          setImmediate(() => done({ ok: true, value: null }));
        },
      },
      record: (record) => {
        records.push(record);
        onRecord(record);
      },
    }),
    {
      run: runId("straight"),
      job,
      model,
      tickets: new Map(smallFleet(job).map(({ name, kind }) => [name, { kind }])),
      edges: 1,
      drawSecret: () => crypto.randomUUID(),
    },
    resolve,
  );
  smallFleet(job).forEach(({ name, kind }, i) => {
    const isEdge = kind === "edge";
    startOwnWorker(
      coordinator,
      {
        name,
        kind: isEdge ? "edge" : "device",
        token: name,
        engine: interpreterEngine(),
        train: isEdge ? null : shard(i - 1),
        test: null,
        door: isEdge ? door : null,
      },
      reject,
    );
  });
  const end = await promise;
  const of = <T extends RunRecord["type"]>(type: T) =>
    records.filter((record): record is Extract<RunRecord, { type: T }> => record.type === type);
  const sources = new Map(job.fleet.devices.map(({ name }, i) => [name, shard(i)]));
  const expected = await replay({
    job,
    model: smallModel(),
    records,
    samplesOf: (node) => present(sources.get(node), node),
    engine: interpreterEngine(),
  });
  const saved = readSafetensors(present(files.get("weights.safetensors"), "weights")).tensors;
  return { end, of, expected, saved };
}

const straight = (round: Extract<RunRecord, { type: "round" }> | undefined): number =>
  round?.nodes.find(({ node }) => node === "edge")?.bytesStraight ?? 0;

function expectSame({ saved, expected }: Awaited<ReturnType<typeof run>>): void {
  expect(saved.size).toBeGreaterThan(0);
  for (const [name, { data }] of saved) expect(data, name).toEqual(expected.get(name)?.data);
}

/** What a worker answers to a raw connection that says this, until it hangs up. */
function answersTo(port: number, said: readonly (Message | Uint8Array)[]): Promise<PeerMessage[]> {
  return new Promise((resolve) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/peer`, { perMessageDeflate: false });
    const heard: PeerMessage[] = [];
    socket.on("open", () => {
      for (const one of said) {
        socket.send(one instanceof Uint8Array ? one : joinFrame(encodeFrame(one)));
      }
    });
    socket.on("message", (data: Buffer) => {
      const { message } = decodePeerFrame(splitFrame(new Uint8Array(data)));
      if (message.type !== "ping") heard.push(message);
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(heard));
  });
}

describe("workers on one machine", () => {
  it("D1, D3: talk straight, and turn away whoever was not introduced to them", async () => {
    const door = await openDoor("127.0.0.1:0");
    const answers: Promise<PeerMessage[]>[] = [];
    const greeting = { type: "peer", node: "a", term: 1, secret: "x".repeat(43) } as const;
    const ask = (): void => {
      answers.push(
        answersTo(door.port, [greeting]),
        answersTo(door.port, [{ ...greeting, node: "mallory" }]),
        answersTo(door.port, [{ ...greeting, node: "edge" }]),
        answersTo(door.port, [{ ...greeting, term: 0 }]),
        answersTo(door.port, [new TextEncoder().encode("no frame at all")]),
        answersTo(door.port, [{ type: "ready", term: 1 }]),
        answersTo(door.port, [{ type: "accept", term: 1 }]),
      );
    };
    const ran = await run({
      door,
      rounds: 20,
      onRecord: (record) => {
        if (record.type === "round" && record.round === 2) ask();
      },
    });
    expect(ran.end).toEqual({ reason: "finished", text: "20 rounds" });
    const refusals = (await Promise.all(answers)).map((heard) =>
      heard.flatMap((message) => (message.type === "refuse" ? message.reason : [])),
    );
    expect(refusals.flat()).toEqual([
      ...["secret", "unknown", "unknown", "term"],
      ...["protocol", "protocol", "protocol"],
    ]);
    for (const round of ran.of("round")) expect(straight(round)).toBeGreaterThan(3000);
    expectSame(ran);
  });

  it.each(["127.0.0.1:0", "0.0.0.0:0"])(
    "D6: lose no update where their links at %s are cut in mid-message, again and again",
    async (place) => {
      const door = await openDoor(place);
      const proxy = await cuttingProxy(door.port, 25_000);
      const { url, fingerprint } = door.address;
      expect(fingerprint !== null).toBe(place.startsWith("0"));
      const address = { fingerprint, url: url.replace(`:${door.port}/`, `:${proxy.port}/`) };
      const ran = await run({ door: Object.assign(door, { address }), rounds: 60 });
      expect(ran.end).toEqual({ reason: "finished", text: "60 rounds" });
      expect(proxy.cuts).toBeGreaterThan(2);
      expect(ran.of("left")).toEqual([]);
      expect(ran.of("round").flatMap(({ dropped }) => dropped)).toEqual([]);
      expect(ran.of("planned")).toHaveLength(1);
      const bytes = ran.of("round").map(straight);
      expect(Math.max(...bytes)).toBeGreaterThan(3000);
      expectSame(ran);
    },
    60_000,
  );
});

describe("an edge server that joins from elsewhere", () => {
  /** Far more than the way to a server takes, on a hundredth of a core. */
  const msPerNumber = 0.01;
  const joinEdge = async (
    served: ServedRun,
    listen: string,
    onEvent: (event: RejoinerEvent) => void,
  ): Promise<Joined> =>
    join({
      url: served.serving.url,
      token: await new RunTokens(served.path).issue("edge", "near", 1),
      name: "a-near-edge",
      kind: "edge",
      listen,
      duty: 1,
      memoryBytes: null,
      ceilingBytesPerMs: null,
      train: null,
      engine: tinyEngine(msPerNumber),
      onEvent,
    });
  const wayTo = (events: readonly RejoinerEvent[], name: string): string | undefined =>
    events.flatMap((event) => (event.type === "way" && event.node === name ? [event.way] : []))[0];

  it("D1: is reached straight by the devices whose later layers it trains", async () => {
    const served = await serveRun(joinPath(folder, "edges"), {
      devices: 2,
      rounds: 12,
      ownDuty: 0.001,
      msPerNumber,
    });
    const events: RejoinerEvent[] = [];
    const edge = await joinEdge(served, "127.0.0.1:0", (event) => events.push(event));
    // Slow enough that the server is worth its way.
    const devices = [
      await served.device(0, { duty: 0.01 }),
      await served.device(1, { duty: 0.01 }),
    ];
    expect((await served.serving.ended).reason).toBe("finished");
    for (const { ended } of [edge, ...devices]) expect((await ended).reason).toBe("finished");
    const rounds = served.records.filter((record) => record.type === "round");
    const own = rounds.map(({ nodes }) => nodes.find(({ node }) => node === "a-near-edge"));
    expect(own.at(-1)?.bytesStraight).toBeGreaterThan(1000);
    for (const name of ["d0", "d1"]) expect(wayTo(events, name)).toBe("straight");
  });

  it("is reached where a device's route leads, and not straight where it leads nowhere", async () => {
    const served = await serveRun(joinPath(folder, "routes"), {
      devices: 2,
      rounds: 12,
      ownDuty: 0.001,
      msPerNumber,
    });
    const events: RejoinerEvent[] = [];
    const place = await openDoor("127.0.0.1:0");
    place.close();
    const edge = await joinEdge(served, `127.0.0.1:${place.port}`, (event) => events.push(event));
    const proxy = await cuttingProxy(place.port, Infinity);
    const asked: string[] = [];
    const devices = [
      await served.device(0, {
        duty: 0.01,
        route: (url) => {
          asked.push(url);
          return url.replace(String(place.port), String(proxy.port));
        },
      }),
      await served.device(1, { duty: 0.01, route: () => null }),
    ];
    expect((await served.serving.ended).reason).toBe("finished");
    for (const { ended } of [edge, ...devices]) expect((await ended).reason).toBe("finished");
    expect(asked).toContain(`ws://127.0.0.1:${place.port}/peer`);
    expect(proxy.passed).toBeGreaterThan(1000);
    expect(wayTo(events, "d0")).toBe("straight");
    expect(wayTo(events, "d1")).not.toBe("straight");
  });

  it("is told where its door cannot be opened, before it joins", async () => {
    const served = await serveRun(joinPath(folder, "doors"), { devices: 1 });
    const joining = join({
      url: served.serving.url,
      token: "none",
      name: "near",
      kind: "edge",
      listen: `127.0.0.1:${served.serving.port}`,
      duty: 1,
      memoryBytes: null,
      ceilingBytesPerMs: null,
      train: null,
      engine: interpreterEngine(),
      onEvent: () => {},
    });
    await expect(joining).rejects.toThrow(/--listen: got 127\.0\.0\.1:\d+ \(EADDRINUSE\)/);
    served.serving.interrupt("the test is over");
    await served.serving.ended;
  });
});

describe("a link to a worker under TLS", () => {
  const dial = (address: PeerAddress): Promise<Outcome<Link>> =>
    new Promise((resolve) => dialPeer(address, resolve));

  it("D9: is opened to the certificate with the fingerprint, and to no other", async () => {
    const door = await openDoor("0.0.0.0:0");
    const taken: Link[] = [];
    door.onLink = (link) => taken.push(link);
    const good = await dial(door.address);
    expect(good.ok).toBe(true);
    const fingerprint = "A".repeat(43);
    expect(await dial({ ...door.address, fingerprint })).toEqual({
      ok: false,
      error: expect.stringMatching(/another fingerprint/),
    });
    const other = await openDoor("0.0.0.0:0");
    expect(other.address.fingerprint).not.toBe(door.address.fingerprint);
    expect((await dial({ ...other.address, fingerprint: door.address.fingerprint })).ok).toBe(
      false,
    );
    // The other side of a dial that was refused hears nothing and is closed.
    const said: unknown[] = [];
    for (const link of taken.slice(1)) link.onFrame = (frame) => said.push(frame);
    expect(said).toEqual([]);
    if (good.ok) good.value.close();
  });

  it.each([
    [{ url: "ws://192.0.2.1:7000/peer", fingerprint: null }, /neither encrypted/],
    [{ url: "wss://127.0.0.1:7000/peer", fingerprint: null }, /neither encrypted/],
    [{ url: "http://127.0.0.1:7000/peer", fingerprint: null }, /neither encrypted/],
    [{ url: "ws://127.0.0.1:7000/admin", fingerprint: null }, /not one of a worker/],
    [{ url: "nonsense", fingerprint: null }, /not one of a worker/],
    [{ url: "ws://127.0.0.1:1/peer", fingerprint: null }, /ECONNREFUSED/],
  ])("D9: is not opened to %o", async (address, error) => {
    expect(await dial(address)).toEqual({ ok: false, error: expect.stringMatching(error) });
  });

  it.each(["nowhere", "127.0.0.1", "127.0.0.1:99999", "256.1.1.1:0", ":70"])(
    "is not listened for at %s",
    async (place) => {
      await expect(listenForPeers(place)).rejects.toThrow(/--listen: got/);
    },
  );

  it("pages of sites and requests of browsers are sent away", async () => {
    const door = await openDoor("127.0.0.1:0");
    door.onLink = () => expect.unreachable("nobody was let in");
    const answer = await fetch(`http://127.0.0.1:${door.port}/`);
    expect(answer.status).toBe(404);
    for (const [path, headers] of [
      ["/peer", { origin: "https://example.com" }],
      ["/", {}],
    ] as const) {
      const socket = new WebSocket(`ws://127.0.0.1:${door.port}${path}`, { headers });
      const error = await new Promise<Error>((resolve) => socket.once("error", resolve));
      expect(error.message).toMatch(/403/);
    }
  });
});
