import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FairShares, Pipe, type Transfer } from "../../src/sim/bandwidth.ts";
import { accessOf, cellsOf, type SimWire } from "../../src/sim/fleet.ts";
import { type Carried, type Cell, Network } from "../../src/sim/network.ts";
import { World } from "../../src/sim/world.ts";

const wire = (change: Partial<SimWire> = {}): SimWire => ({
  upBytesPerMs: null,
  downBytesPerMs: null,
  jitterMs: 0,
  loss: 0,
  cell: null,
  ...change,
});

/** A network with devices behind a cell of 100 bytes/ms, and a server. */
function cell(devices: readonly Partial<SimWire>[], latencyMs = 0) {
  const world = new World();
  const network = new Network(world, 1);
  const cells = cellsOf([{ name: "cell", upBytesPerMs: 100, downBytesPerMs: 100, behind: null }]);
  const access = (name: string, own: Partial<SimWire>) =>
    accessOf({ name, latencyMs, wire: wire(own) }, cells);
  const server = access("server", {});
  const nodes = devices.map((own, i) => access(`device-${i}`, { cell: "cell", ...own }));
  const arrived: { what: string; atMs: number }[] = [];
  const ends = nodes.map((node) => {
    const { near, far } = network.connect(node, server);
    far.onFrame = ({ head }) => {
      arrived.push({ what: new TextDecoder().decode(head), atMs: world.now() });
    };
    return near;
  });
  /** Sends a frame of so many bytes at a time. */
  const send = (device: number, atMs: number, what: string, bytes: number) =>
    world.at(atMs, () => {
      const head = new TextEncoder().encode(what);
      ends[device]?.send({ head, body: [{ byteLength: bytes - head.length, bytes: null }] });
    });
  return { world, network, nodes, cells, arrived, ends, send };
}

/** A transfer of a test: nothing but its pipes. */
const transferOver = (pipes: readonly Pipe[]): Transfer => ({
  pipes,
  fairRate: 0,
  heldBy: null,
  isOpen: false,
});

/** Max-min fair rates from nothing, plainly: all grow alike, and those stop whose pipe has no more. */
function plainRates(active: readonly Transfer[]): Map<Transfer, number> {
  const rates = new Map<Transfer, number>();
  const pipes = [...new Set(active.flatMap((transfer) => [...transfer.pipes]))];
  while (rates.size < active.length) {
    const levels = pipes.map((pipe) => {
      const own = active.filter((transfer) => transfer.pipes.includes(pipe));
      const open = own.filter((transfer) => !rates.has(transfer));
      const used = own.reduce((sum, transfer) => sum + (rates.get(transfer) ?? 0), 0);
      return { open, level: open.length === 0 ? Infinity : (pipe.bytesPerMs - used) / open.length };
    });
    const least = levels.reduce((a, b) => (b.level < a.level ? b : a));
    for (const transfer of least.open) rates.set(transfer, Math.max(0, least.level));
  }
  return rates;
}

describe("fair rates", () => {
  const route = fc.array(fc.nat(7), { minLength: 1, maxLength: 3 });
  const capacity = fc.integer({ min: 0, max: 20 });
  /** A transfer begins, one ends, or a pipe gets another rate; several of these may happen in one moment. */
  const change = fc.oneof(
    fc.record({ route }),
    fc.record({ ends: fc.nat(30) }),
    fc.record({ pipe: fc.nat(7), to: capacity }),
  );
  const moments = fc.array(fc.array(change, { minLength: 1, maxLength: 4 }), { maxLength: 25 });
  const capacities = fc.array(capacity, { minLength: 8, maxLength: 8 });

  it("are those of a plain computation from nothing after whatever begins, ends and changes", () => {
    fc.assert(
      fc.property(capacities, moments, (rates, changes) => {
        const pipes = rates.map((rate, i) => new Pipe(`pipe ${i}`, rate));
        const shares = new FairShares();
        const active: Transfer[] = [];
        const happens = (one: (typeof changes)[number][number]): void => {
          if ("route" in one) {
            const transfer = transferOver([...new Set(one.route)].map((i) => pipes[i] as Pipe));
            active.push(transfer);
            shares.enter(transfer);
          } else if ("ends" in one) {
            for (const transfer of active.splice(one.ends, 1)) shares.leave(transfer);
          } else shares.setRate(pipes[one.pipe] as Pipe, one.to);
        };
        for (const moment of changes) {
          for (const one of moment) happens(one);
          shares.settle();
          for (const [transfer, rate] of plainRates(active))
            expect(transfer.fairRate).toBeCloseTo(rate, 6);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it("stay as they are where a change does not reach", () => {
    // A ring of pipes of which every other one is narrow: what happens at a narrow one ends at the next.
    const pipes = Array.from({ length: 40 }, (_, i) => new Pipe(`${i}`, i % 2 === 0 ? 10 : 100));
    const shares = new FairShares();
    const over = (i: number) => transferOver([pipes[i % 40] as Pipe, pipes[(i + 1) % 40] as Pipe]);
    for (let i = 0; i < 40; i++) shares.enter(over(i));
    shares.settle();
    const late = over(0);
    shares.enter(late);
    expect([...shares.settle()]).toHaveLength(3);
    expect(late.fairRate).toBeCloseTo(10 / 3, 6);
    shares.leave(late);
    expect([...shares.settle()]).toHaveLength(2);
  });
});

describe("a network", () => {
  it("shares a cell among those who send at once, and gives the rest to who can use it", async () => {
    const { world, arrived, send } = cell([{}, {}, { upBytesPerMs: 10 }]);
    send(0, 0, "a", 4500);
    send(1, 0, "b", 9000);
    send(2, 0, "c", 500);
    await world.run(() => false);
    // 10 for c; 45 each for a and b until c is done at 50 ms, then 50 each, then all for b.
    expect(arrived.map(({ what }) => what)).toEqual(["c", "a", "b"]);
    expect(arrived[0]?.atMs).toBeCloseTo(50, 6);
    expect(arrived[1]?.atMs).toBeCloseTo(50 + (4500 - 50 * 45) / 50, 6);
    const a = arrived[1]?.atMs ?? 0;
    expect(arrived[2]?.atMs).toBeCloseTo(a + (9000 - 50 * 45 - (a - 50) * 50) / 100, 6);
  });

  it("carries no more over any pipe than it can, whatever is sent when and however rates change", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(3), fc.nat(60), fc.integer({ min: 1, max: 3000 })), {
          maxLength: 25,
        }),
        fc.array(fc.tuple(fc.nat(100), fc.integer({ min: 0, max: 80 })), { maxLength: 4 }),
        async (frames, changes) => {
          const { world, network, cells, send, arrived } = cell([{}, {}, { upBytesPerMs: 30 }, {}]);
          const carried: Carried[] = [];
          network.onCarried = (one) => carried.push(one);
          for (const [i, [device, atMs, bytes]] of frames.entries())
            send(device, atMs, `${i}`, bytes + 8);
          const shared = cells.get("cell")?.up as Pipe;
          // In the end there is a rate, or nothing would ever arrive.
          const rates = [[0, 100], ...changes.toSorted(([a], [b]) => a - b), [101, 50]] as const;
          for (const [atMs, rate] of rates) world.at(atMs, () => network.setRate(shared, rate));
          await world.run(() => false);
          expect(arrived).toHaveLength(frames.length);
          const capacity = (from: number, to: number): number =>
            rates.reduce((sum, [atMs, rate], i) => {
              const until = rates[i + 1]?.[0] ?? Number.POSITIVE_INFINITY;
              return sum + rate * Math.max(0, Math.min(to, until) - Math.max(from, atMs));
            }, 0);
          for (const { fromMs } of carried) {
            for (const { toMs } of carried) {
              const inside = carried.filter((one) => one.fromMs >= fromMs && one.toMs <= toMs);
              const bytes = inside.reduce((sum, one) => sum + one.bytes, 0);
              if (toMs > fromMs) expect(bytes).toBeLessThanOrEqual(capacity(fromMs, toMs) + 1e-6);
            }
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it("keeps the order of frames under jitter, and loss delays them and loses none", async () => {
    const { world, arrived, send } = cell([{ jitterMs: 40, loss: 0.2 }], 5);
    for (let i = 0; i < 50; i++) send(0, i, `${i}`, 3000);
    await world.run(() => false);
    expect(arrived.map(({ what }) => what)).toEqual(Array.from({ length: 50 }, (_, i) => `${i}`));
    const clean = cell([{}], 5);
    for (let i = 0; i < 50; i++) clean.send(0, i, `${i}`, 3000);
    await clean.world.run(() => false);
    const last = (all: typeof arrived): number => all.at(-1)?.atMs ?? 0;
    expect(last(arrived)).toBeGreaterThan(last(clean.arrived) + 10);
  });

  it("lets nothing through a partition, and everything after it, in order", async () => {
    const { world, network, nodes, arrived, ends, send } = cell([{}], 10);
    const closed: number[] = [];
    send(0, 0, "before", 100);
    send(0, 5, "on its way", 400);
    send(0, 30, "during", 100);
    world.at(8, () => world.after(92, network.partition(nodes)));
    world.at(60, () => ends[0]?.close());
    if (ends[0] !== undefined) ends[0].onClose = () => closed.push(world.now());
    await world.run(() => false);
    expect(arrived.map(({ what }) => what)).toEqual(["before", "on its way", "during"]);
    // What had left waits at the border; what had not goes on leaving.
    for (const { atMs } of arrived) expect(atMs).toBeGreaterThanOrEqual(100);
    expect(closed).toEqual([60]);
  });

  it("leaves a cell's line alone for what stays inside the cell", async () => {
    const { world, network, nodes } = cell([{}, {}]);
    const [a, b] = nodes;
    if (a === undefined || b === undefined) throw new Error("two devices");
    const { near, far } = network.connect(a, b);
    const at: number[] = [];
    far.onFrame = () => at.push(world.now());
    near.send({ head: new Uint8Array(8), body: [{ byteLength: 1e6, bytes: null }] });
    await world.run(() => false);
    expect(at).toEqual([0]);
  });
});

/** A phone at one of two base stations, each with a server and a backhaul of 10 bytes/ms and 20 ms. */
function street() {
  const world = new World();
  const network = new Network(world, 1);
  const backhaul = { upBytesPerMs: 10, downBytesPerMs: 10, latencyMs: 20, behind: null };
  const cells = cellsOf(["here", "there"].map((name) => ({ name, ...backhaul })));
  const access = (name: string, own: Partial<SimWire>, latencyMs = 0) =>
    accessOf({ name, latencyMs, wire: wire(own) }, cells);
  const phone = access("phone", { cell: "here", upBytesPerMs: 50, downBytesPerMs: 50 }, 2);
  const server = access("server", { cell: "here" });
  const { near, far } = network.connect(phone, server);
  const arrivedMs: number[] = [];
  far.onFrame = () => arrivedMs.push(world.now());
  const send = (atMs: number, bytes: number) =>
    world.at(atMs, () =>
      near.send({ head: new Uint8Array(0), body: [{ byteLength: bytes, bytes: null }] }),
    );
  const move = (atMs: number, cell: string | null) =>
    world.at(atMs, () =>
      network.move(phone.line, cell === null ? null : (cells.get(cell) as Cell)),
    );
  return { world, network, phone, cells, arrivedMs, send, move };
}

describe("a node that moves", () => {
  it("reaches a server of its cell by the radio alone, any other by both backhauls", async () => {
    const { world, arrivedMs, send, move } = street();
    send(0, 1000);
    move(100, "there");
    send(100, 1000);
    await world.run(() => false);
    expect(arrivedMs).toEqual([1000 / 50 + 2, 100 + 1000 / 10 + 2 + 2 * 20]);
  });

  it("takes along what is under way: the rest of it leaves over the new path, in order", async () => {
    const { world, network, cells, arrivedMs, send, move } = street();
    const carried: Carried[] = [];
    network.onCarried = (one) => carried.push(one);
    send(0, 1000);
    send(0, 100);
    move(10, "there");
    move(40, "here");
    await world.run(() => false);
    // 500 bytes in 10 ms, 300 in 30 ms, the last 200 in 4 ms; then the second frame.
    expect(arrivedMs).toEqual([44 + 2, 46 + 2]);
    const backhaul = carried.filter(({ pipes }) => pipes.includes(cells.get("there")?.up as Pipe));
    expect(backhaul.map(({ bytes, fromMs, toMs }) => ({ bytes, fromMs, toMs }))).toEqual([
      { bytes: 300, fromMs: 10, toMs: 40 },
    ]);
    expect(carried.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(1100);
  });

  it("is not overtaken by itself where the new path is shorter", async () => {
    const { world, arrivedMs, send, move } = street();
    move(0, "there");
    send(0, 10);
    move(5, "here");
    send(5, 10);
    await world.run(() => false);
    expect(arrivedMs).toEqual([43, 43]);
  });

  it("reaches nobody where no cell is in reach, and loses nothing", async () => {
    const { world, arrivedMs, send, move, network, phone } = street();
    send(0, 1000);
    move(10, null);
    send(50, 100);
    world.at(60, () => expect(network.reaches(phone, { ...phone })).toBe(true));
    move(110, "here");
    await world.run(() => false);
    expect(arrivedMs).toEqual([120 + 2, 122 + 2]);
  });

  it("sees a delay change for what leaves from then on", async () => {
    const { world, network, phone, arrivedMs, send } = street();
    send(0, 50);
    world.at(1, () => network.setLatency(phone.line, 30));
    send(1, 50);
    await world.run(() => false);
    expect(arrivedMs).toEqual([31, 32]);
  });
});
