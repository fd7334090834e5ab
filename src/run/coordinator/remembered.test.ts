/** What the coordinator takes of codecs' memory, and what it gives back. */
import { describe, expect, test } from "vitest";
import { chainId, copyId, nodeId } from "../../base/ids.ts";
import { float32 } from "../../base/tensor.ts";
import type { LinkCodecName } from "../../codec/link-codec.ts";
import { RowMemory, type SavedRows } from "../../codec/row-memory.ts";
import type { Plan } from "../../plan/plan.ts";
import { memoryName, rememberingEnds } from "../link-memory.ts";
import type { Member } from "./members.ts";
import { Remembered } from "./remembered.ts";

const nothing = { open: null, late: [] };

const chain = chainId("chain:a");

/** Two stages, cut after the first segment, where 4 values of each of 2 samples cross. */
function planOf(codecUp: LinkCodecName, server = "edge"): Plan {
  const copies = ["a", server].map((node, i) => {
    return {
      id: copyId(`copy:${i}`),
      node: nodeId(node),
      from: i,
      to: i + 1,
      mode: "train",
    } as const;
  });
  const [own, other] = copies as [(typeof copies)[0], (typeof copies)[0]];
  const link = { chain, from: own.node, to: other.node, bytesPerMs: null };
  return {
    ...{ term: 1, planner: "by hand", objective: "round time", reason: "", copies, groups: [] },
    chains: [
      {
        ...{ id: chain, source: own.node, schedule: "serial", window: 0, work: 1 },
        stages: [
          { copy: own.id, backward: "stored" },
          { copy: other.id, backward: "none" },
        ],
      },
    ],
    links: [{ ...link, codecUp, codecDown: "float32" }],
    ...{ limits: [], forecasts: [] },
  };
}

const type = { dtype: "float32", shape: [2, 4] } as const;
const costs = [{ outputs: [{ ...type, name: "x" }] }, { outputs: [] }] as never;
const member = (node: string): Member => ({ id: nodeId(node) }) as Member;
const remembered = () =>
  new Remembered({ memory: () => undefined }, { batch: 2, samples: 3, costs });

/** Memory that has used these keys. */
function filled(keys: readonly number[], capacity = 3, rowLength = 4): RowMemory {
  const memory = new RowMemory(rowLength, capacity);
  for (const key of keys) memory.use(key).row.fill(key);
  return memory;
}

const nameOf = (plan: Plan, side: "sender" | "receiver"): string => {
  const end = rememberingEnds(plan)
    .get(chain)
    ?.find((one) => one.side === side);
  return end === undefined ? "" : memoryName(end, 0);
};

describe("R27: what a copy brings of memory", () => {
  const plan = planOf("affine4+feedback");
  const name = nameOf(plan, "sender");
  const from = { chain, copy: "copy:0" };
  const problem = (came: ReadonlyMap<string, SavedRows>, by = from) =>
    remembered().problem(plan, by, came);

  test("is taken where it is of its own end, and no more than there may be", () => {
    expect(problem(new Map([[name, filled([1, 2]).save()]]))).toBeNull();
    expect(problem(new Map([[name, filled([1, 2, 3, 4], 9).save()]]))).toMatch(/at most 3/);
  });

  test("is refused of another end, of other tensors, and where it is not finite", () => {
    const sound = filled([1]).save();
    expect(problem(new Map([[name, sound]]), { chain, copy: "copy:1" })).toMatch(/it has not/);
    for (const other of [`${name}1`, `${name.slice(0, -1)}7`, "memory|x|0"]) {
      expect(problem(new Map([[other, sound]]))).toMatch(/which it has not/);
    }
    expect(problem(new Map([[name, filled([1], 3, 5).save()]]))).toMatch(/rows/);
    const broken = new Map(sound).set("rows", float32([1, 4], [0, Number.NaN, 0, 0]));
    expect(problem(new Map([[name, broken]]))).toMatch(/not finite/);
  });
});

describe("R27: what a node begins a round with", () => {
  test("is what it has, after a round that was committed; and all of it where it has nothing", () => {
    const plan = planOf("affine4+feedback");
    const name = nameOf(plan, "sender");
    const [own, other] = [member("a"), member("a")];
    const memories = remembered();
    const start = (of: Member) => memories.start(of, plan, nothing);
    expect(start(own)).toMatchObject({ remembers: [], isAwaited: false });
    memories.begun(plan, plan.chains);
    const came = new Map([[name, filled([1, 2]).takeUsed()]]);
    const made = { plan, memories: [{ chain, isLate: false, came }] };
    memories.made(made, (node) => (node === "a" ? own : undefined));
    expect(start(own)).toMatchObject({ remembers: [chain], tensors: new Map() });
    // The same node on another link is another process, perhaps.
    const { remembers, tensors } = start(other);
    expect(remembers).toEqual([]);
    expect(tensors.get(`${name}|rows`)?.data).toEqual(Float32Array.of(1, 1, 1, 1, 2, 2, 2, 2));
    memories.begun(plan, plan.chains);
    expect(start(own).remembers).toEqual([]);
  });

  test("brings a sender of deltas the receiver's rows, by the slots that it has chosen", () => {
    const plan = planOf("affine4+delta");
    const memories = remembered();
    const sender = filled([30, 10, 20]);
    const receiver = new RowMemory(4, 3);
    for (const key of [30, 10, 20]) {
      const { slot, row } = sender.use(key);
      receiver.useSlot(slot).row.set(row);
    }
    const whole = sender.save();
    const came = new Map([
      [nameOf(plan, "sender"), sender.takeUsed(false)],
      [nameOf(plan, "receiver"), receiver.takeUsed()],
    ]);
    memories.made({ plan, memories: [{ chain, isLate: true, came }] }, null);
    const { tensors } = memories.start(member("a"), plan, nothing);
    const name = nameOf(plan, "sender");
    for (const [part, value] of whole) expect(tensors.get(`${name}|${part}`), part).toEqual(value);
  });

  test("waits for what has not come home of the round before, where a stage moves", () => {
    const [before, after] = [planOf("affine4+delta"), planOf("affine4+delta", "cloud")];
    const [a, cloud] = [member("a"), member("cloud")];
    const began = new Map([a, cloud].map((one) => [one.id, one]));
    const open = { plan: before, began, memories: new Map(), brought: new Set(["copy:0"]) };
    const memories = remembered();
    expect(memories.start(cloud, after, { open, late: [] }).isAwaited).toBe(true);
    // A process that has come anew has nothing of what its node had.
    expect(memories.start(member("a"), after, { open, late: [] }).remembers).toEqual([]);
    expect(memories.start(a, after, { open, late: [] })).toMatchObject({
      ...{ remembers: [chain], isAwaited: false },
    });
    const whole = { ...open, brought: new Set(["copy:0", "copy:1"]) };
    expect(memories.start(cloud, after, { open: whole, late: [] }).isAwaited).toBe(false);
  });
});
