/**
 * Servers that announce themselves, over sockets: on the loopback network of this machine, and between two
 * machines of a network that the test makes of namespaces, where the kernel lets it.
 */
import { execFile, execFileSync } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it, type TestContext } from "vitest";
import { present } from "../../src/base/assert.ts";
import { after } from "../../src/nodejs/host.ts";
import type { Advert } from "../../src/nodejs/lan/advert.ts";
import { type AnnounceState, announce } from "../../src/nodejs/lan/announce.ts";
import { discoverIn, startQuerier } from "../../src/nodejs/lan/discover.ts";
import { findServerIn } from "../../src/nodejs/lan/find.ts";
import { openMulticast } from "../../src/nodejs/lan/multicast.ts";
import { localNetwork } from "../../src/nodejs/lan/networks.ts";
import { protocolVersions } from "../../src/run/wire/messages.ts";
import { joinAt, runOf, type ServedRun, serveRun } from "./served-run.ts";

const folder = mkdtempSync(join(tmpdir(), "edgeloom-discovery-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The loopback network as a local one: nothing leaves this machine. */
const loopback = { networks: () => [localNetwork("lo", "127.0.0.1/8")] };
const world = { open: openMulticast, now: () => performance.now(), after, random: Math.random };

const open: { close(): void }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

/** Announces on the loopback network until the test is over. Resolves when that has worked or failed. */
function announceHere(change: Partial<Advert> = {}): Promise<AnnounceState> {
  const advert = { run: "r", port: 7070, protocols: protocolVersions, ca: null, host: null };
  return new Promise((resolve) => {
    open.push(
      announce(
        { advert: { ...advert, ...change }, listensOn: "127.0.0.1", onState: resolve, ...loopback },
        world,
      ),
    );
  });
}

/** Skips where this machine lets nobody use multicast DNS on its loopback network. */
function needAnnounced(state: AnnounceState, { skip }: TestContext): void {
  if (state.kind === "silent") skip(`no multicast DNS here: ${state.text}`);
}

describe("on the loopback network", () => {
  it("a server is found while it is there, and not after its goodbye", async (context) => {
    needAnnounced(await announceHere({ run: "walk", port: 7171 }), context);
    const before = Date.now();
    const { servers, problem } = await discoverIn(loopback, { listenMs: 2500 });
    expect(problem).toBeNull();
    const found = present(
      servers.find(({ run }) => run === "walk"),
      "the server",
    );
    expect(found).toMatchObject({
      name: expect.stringMatching(/^walk on /),
      urls: ["wss://127.0.0.1:7171"],
      protocols: protocolVersions,
      ca: null,
    });
    expect(found.seenSince).toBeGreaterThanOrEqual(before);
    for (const one of open.splice(0)) one.close();
    await sleep(100);
    const later = await discoverIn(loopback, { listenMs: 2500 });
    expect(later.servers.filter(({ run }) => run === "walk")).toEqual([]);
  });

  it("two servers of one name take two names", async (context) => {
    needAnnounced(await announceHere({ run: "same", port: 1001 }), context);
    await announceHere({ run: "same", port: 1002 });
    const { servers } = await discoverIn(loopback, { listenMs: 2500 });
    const same = servers.filter(({ run }) => run === "same");
    expect(same.map(({ urls }) => urls[0]).sort()).toEqual([
      "wss://127.0.0.1:1001",
      "wss://127.0.0.1:1002",
    ]);
    expect(new Set(same.map(({ name }) => name)).size).toBe(2);
  });

  it("rubbish that anybody sends there harms neither side", async (context) => {
    needAnnounced(await announceHere({ run: "steady" }), context);
    const exposed = await startQuerier(loopback);
    open.push(exposed);
    const sender = createSocket("udp4");
    sender.bind(0, "127.0.0.1");
    await once(sender, "listening");
    sender.setMulticastInterface("127.0.0.1");
    for (let i = 0; i < 500; i++) {
      const bytes = Buffer.from(Array.from({ length: i % 97 }, (_, j) => (i * 31 + j * 17) % 256));
      // Half of them begin like a packet that announces many records.
      if (i % 2 === 0 && bytes.length >= 12) bytes.set([0, 0, 0x84, 0, 0, 0, 0xff, 0xff], 0);
      sender.send(bytes, 5353, "224.0.0.251");
    }
    // What is lost among it is asked again.
    const { promise: heard, resolve } = Promise.withResolvers<void>();
    const onHeard = (): void => {
      if (later.servers().some(({ run }) => run === "steady")) resolve();
    };
    const later = await startQuerier({ ...loopback, onHeard });
    open.push(later);
    await heard;
    expect([exposed.problem(), later.problem()]).toEqual([null, null]);
    sender.close();
  });

  it("a program that keeps the port for itself is named as the reason, and nothing fails", async (context) => {
    // Sockets of the tests before may take a moment to close.
    let holder: Socket | null = null;
    for (let tries = 0; holder === null && tries < 20; tries++) {
      holder = await exclusive().catch(() => null);
      if (holder === null) await sleep(100);
    }
    if (holder === null) return context.skip("something has UDP port 5353 open here already");
    const text = "another program keeps UDP port 5353 for itself";
    expect(await discoverIn(loopback, { listenMs: 200 })).toEqual({ servers: [], problem: text });
    expect(await announceHere()).toEqual({ kind: "silent", text });
    const ca = "c".repeat(43);
    await expect(findServerIn(loopback, { ca })).rejects.toThrow(text);
    holder.close();
  });
});

/** A socket that shares the port of multicast DNS with nobody. */
async function exclusive(): Promise<Socket> {
  const socket = createSocket({ type: "udp4", reuseAddr: false });
  socket.bind(5353);
  await once(socket, "listening");
  return socket;
}

describe("a server that is to be found", () => {
  const served: ServedRun[] = [];
  const authorities: string[] = [];
  /** Port of a served run. */
  const portOf = ({ serving }: ServedRun): number => serving.port;

  beforeAll(async () => {
    // Two runs under one authority, and one under another.
    for (const [name, state] of [
      ["one", "own"],
      ["two", "own"],
      ["three", "other"],
    ] as const) {
      const reach = { host: "0.0.0.0", state: join(folder, state) };
      const run = await serveRun(join(folder, "runs"), { devices: 1, name, reach });
      served.push(run);
      authorities.push(present(run.serving.fingerprint, "a fingerprint"));
    }
  });
  afterAll(async () => {
    for (const { serving } of served) serving.interrupt("the test is over");
    await Promise.all(served.map(({ serving }) => serving.ended));
  });

  const [one, two, three] = [0, 1, 2].map((i) => () => present(served[i], "a run")) as [
    () => ServedRun,
    () => ServedRun,
    () => ServedRun,
  ];
  const own = (): string => present(authorities[0], "the authority");

  it("is the one that proves it, whatever others claim in its name", async (context) => {
    // Impostors: another server, a port where nobody listens, and a name that leads nowhere.
    needAnnounced(await announceHere({ run: "one", port: portOf(three()), ca: own() }), context);
    await announceHere({ run: "one", port: 9, ca: own() });
    await announceHere({ run: "one", port: 7070, ca: own(), host: "nowhere.invalid" });
    // And one that takes connections and says nothing.
    const silent = createServer((socket) => socket.resume()).listen(0, "127.0.0.1");
    await once(silent, "listening");
    const left = once(silent, "connection").then(([socket]) => once(socket, "close"));
    const { port } = silent.address() as AddressInfo;
    await announceHere({ run: "one", port, ca: own() });
    await announceHere({ run: "one", port: portOf(one()), ca: own() });
    const url = await findServerIn(loopback, { ca: own() });
    expect(url).toBe(`wss://127.0.0.1:${portOf(one())}`);
    // It is not waited for, and its silence would be borne for longer.
    const foundMs = performance.now();
    await left;
    expect(performance.now() - foundMs).toBeLessThan(5000);
    silent.close();
  });

  it("is joined with its token", async (context) => {
    const device = { token: present(two().serving.tokens[0], "a token"), ca: own(), name: "d0" };
    needAnnounced(
      await announceHere({ run: runOf(two()), port: portOf(two()), ca: own() }),
      context,
    );
    const url = await findServerIn(loopback, { ca: own(), run: runOf(two()) });
    const { ended } = await joinAt(url, device);
    expect((await ended).reason).toBe("finished");
  });

  it("is tried again where it could not prove itself at first", async (context) => {
    let connections = 0;
    const door = createServer((socket) => {
      connections++;
      // As with a certificate that does not cover the address yet.
      if (connections <= 2) return void socket.destroy();
      const { port } = three().serving;
      const behind = connect(port, "127.0.0.1");
      for (const end of [socket, behind]) end.on("error", () => {});
      socket.pipe(behind).pipe(socket);
    }).listen(0, "127.0.0.1");
    await once(door, "listening");
    const { port } = door.address() as AddressInfo;
    const ca = present(authorities[2], "the authority");
    needAnnounced(await announceHere({ run: "three", port, ca }), context);
    expect(await findServerIn(loopback, { ca })).toBe(`wss://127.0.0.1:${port}`);
    expect(connections).toBeGreaterThan(2);
    door.close();
  });

  it("is known by the file of its authority, too", async (context) => {
    needAnnounced(await announceHere({ run: "one", port: portOf(one()), ca: own() }), context);
    const file = join(folder, "own", "ca.pem");
    expect(readFileSync(file, "utf8")).toContain("BEGIN CERTIFICATE");
    const url = await findServerIn(loopback, { ca: file });
    expect(url).toBe(`wss://127.0.0.1:${portOf(one())}`);
  });

  it("of several runs under one authority is the one that is named", async (context) => {
    needAnnounced(await announceHere({ run: "one", port: portOf(one()), ca: own() }), context);
    // The second has ended by now.
    const other = await serveRun(join(folder, "runs"), {
      devices: 1,
      name: "four",
      reach: { host: "0.0.0.0", state: join(folder, "own") },
    });
    await announceHere({ run: "four", port: portOf(other), ca: own() });
    await expect(findServerIn(loopback, { ca: own() })).rejects.toThrow(
      /2 runs in the local network: (one, four|four, one); allowed: the name of one of them/,
    );
    const url = await findServerIn(loopback, { ca: own(), run: "four" });
    expect(url).toBe(`wss://127.0.0.1:${portOf(other)}`);
    other.serving.interrupt("the test is over");
    await other.serving.ended;
  });

  it("and is not there is missed in words, with who is there instead", async (context) => {
    const { run, port, ca } = { run: "three", port: portOf(three()), ca: authorities[2] ?? null };
    needAnnounced(await announceHere({ run, port, ca }), context);
    await announceHere({ run: "old", port: 1, ca: own(), protocols: { from: 0, to: 0 } });
    await announceHere({ run: "false", port, ca: own() });
    const error = await findServerIn(loopback, { ca: own(), patienceMs: 2000 }).catch(String);
    expect(error).toMatch(/wss:\/\/127\.0\.0\.1:1 is of another release/);
    expect(error).toMatch(/does not prove to be it \(.*fingerprint/);
    await expect(findServerIn(loopback, { ca: "c".repeat(43), patienceMs: 2000 })).rejects.toThrow(
      /has another authority.* within 2 s/,
    );
  });
});

/** Machines A, which serves, and B, in a network with nobody else. */
const twoMachines = `
set -e
ip link set lo up
unshare -n sleep 1000 & b=$!
on_b() { nsenter -t $b -n "$@"; }
until [ "$(readlink /proc/$b/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.05; done
ip link add va type veth peer name vb netns $b
ip addr add 10.77.0.1/24 dev va
ip link set va up
on_b ip link set lo up
on_b ip addr add 10.77.0.2/24 dev vb
on_b ip link set vb up
$EDGELOOM serve job.yaml --host 0.0.0.0 --state state --runs runs > serve.log 2>&1 & serve=$!
until grep -q "In the local network" serve.log; do sleep 0.1; kill -0 $serve; done
on_b $EDGELOOM discover --seconds 1.5
on_b $EDGELOOM discover --seconds 1.5 --json
ip addr del 10.77.0.1/24 dev va
ip addr add 10.77.0.3/24 dev va
token=$(grep -o -m1 -- '--token [^ ]*' serve.log)
ca=$(grep -o -m1 -- '--ca [^ ]*' serve.log)
until on_b $EDGELOOM discover --seconds 1 | grep -q 10.77.0.3; do sleep 0.1; done
on_b $EDGELOOM join --discover $token $ca --data mnist --name device-1
wait $serve
on_b $EDGELOOM discover --seconds 1.5
kill $b
`;

/** A machine in no network: what is announced, and heard, there. */
const alone = `
ip link set lo up
$EDGELOOM discover --seconds 0.2; echo "code $?"
$EDGELOOM serve job.yaml --host 0.0.0.0 --state state --runs runs > alone.log 2>&1 & serve=$!
until grep -q "edge joined" alone.log || ! kill -0 $serve; do sleep 0.1; done
kill -INT $serve; wait $serve
$EDGELOOM serve job.yaml --host 0.0.0.0 --no-announce --state state --runs runs > quiet.log 2>&1 & serve=$!
until grep -q "edge joined" quiet.log || ! kill -0 $serve; do sleep 0.1; done
sleep 1
kill -INT $serve; wait $serve
cat alone.log quiet.log
`;

/** With networks of its own, and processes, all of which end with the first. */
const ownMachine = ["-Urnp", "--mount-proc", "--fork", "--kill-child"];

describe("between machines", () => {
  /** Why there is nothing to make them of; null where there is. */
  const lack = ((): string | null => {
    try {
      execFileSync("unshare", [
        ...ownMachine,
        "sh",
        "-c",
        "ip link add va type veth peer name vb && nsenter --version",
      ]);
      return null;
    } catch (error) {
      return `no network namespaces here: ${String(error).split("\n")[0]}`;
    }
  })();
  const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

  /** Runs a script with a network of its own. */
  async function runIn(script: string): Promise<string> {
    const place = mkdtempSync(join(folder, "machines-"));
    writeFileSync(
      join(place, "job.yaml"),
      "model: mlp\ndata: mnist\nrounds: 2\nlocalBatches: 5\nevaluate: { samples: 100 }\nfleet: { devices: 1 }\n",
    );
    const { stdout, stderr } = await promisify(execFile)(
      "unshare",
      [...ownMachine, "bash", "-c", script],
      {
        cwd: place,
        timeout: 150_000,
        env: { ...process.env, EDGELOOM: `${process.execPath} ${main}` },
      },
    );
    return stdout + stderr;
  }

  it("a server is listed on another, joined without its address, and gone when it has ended", async ({
    skip,
  }) => {
    if (lack !== null) return skip(lack);
    const said = await runIn(twoMachines);
    expect(said).toMatch(/^\S+ on \S+ +\S+-job +wss:\/\/10\.77\.0\.1:7070 +\d\d:\d\d:\d\d$/m);
    const json = JSON.parse(present(/^\{.*\}$/m.exec(said)?.[0], "a line of JSON"));
    expect(json).toMatchObject({
      problem: null,
      servers: [
        { urls: ["wss://10.77.0.1:7070"], seenSince: expect.stringMatching(/^\d{4}-.*Z$/) },
      ],
    });
    // The server's machine has come into another network since.
    expect(said).toMatch(/^found it at wss:\/\/10\.77\.0\.3:7070$/m);
    expect(said).toMatch(/^the run has finished: 2 rounds/m);
    expect(said).toMatch(/^No server announces itself in the local network\.$/m);
  });

  it("and without any network, that is said in a line, and serving goes on", async ({ skip }) => {
    if (lack !== null) return skip(lack);
    const said = await runIn(alone);
    expect(said).toMatch(/nothing can be heard: this machine is in no IPv4 network now\n/);
    expect(said).toMatch(/^code 1$/m);
    const lines = said.split("\n").filter((line) => line.startsWith("In the local network"));
    expect(lines).toEqual([
      "In the local network it is not announced: it listens on 0.0.0.0, and that is in no IPv4 network now",
    ]);
    expect(said.match(/edge joined/g)).toHaveLength(2);
  });
});
