import { describe, expect, it } from "vitest";
import { present } from "../../base/assert.ts";
import { chainId, nodeId } from "../../base/ids.ts";
import { float32, type Tensor } from "../../base/tensor.ts";
import type { Port } from "../../compile/program.ts";
import type { Slot } from "../host.ts";
import type { Tensors } from "../wire/frame.ts";
import type { Message, WeightsMessage } from "../wire/messages.ts";
import type { ExchangeSetup } from "./exchange-setup.ts";
import type { StageSetup } from "./stage-setup.ts";
import type { StageSurroundings } from "./stage-surroundings.ts";
import { StageTransfer } from "./stage-transfer.ts";

const entriesOf = (value: Tensor | undefined) => [
  ...(present(value, "a tensor").data as Float32Array),
];

/** A member b between two neighbours, with one trained tensor w of two entries: its held-out loss is their sum. */
function member() {
  const port = { name: "w", role: "parameter", of: "w", dtype: "float32", shape: [2] } as Port;
  const neighbour = (name: string) => ({
    ...{ chain: `chain:${name}`, node: nodeId(name), place: 0, microBatches: 1 },
  });
  const slots = new Map<Slot, Tensor>([["w", float32([2], [4, 8])]]);
  const sent: { message: Message; tensors: Tensors | undefined }[] = [];
  const engine = {
    load: () => {},
    drop: (prefix: string) => {
      for (const slot of [...slots.keys()]) if (slot.startsWith(prefix)) slots.delete(slot);
    },
    write: (values: ReadonlyMap<Slot, Tensor>) =>
      values.forEach((value, slot) => void slots.set(slot, value)),
    read: (names: readonly Slot[], done: (outcome: unknown) => void) =>
      done({ ok: true, value: new Map(names.map((slot) => [slot, slots.get(slot)])) }),
  };
  const around = {
    host: {
      engine,
      train: {
        samples: 20,
        batch: (_: unknown, done: (outcome: unknown) => void) => done({ ok: true, value: {} }),
      },
    },
    send: (message: Message, tensors?: Tensors) => sent.push({ message, tensors }),
    compute: (
      _: unknown,
      { feeds }: { feeds: ReadonlyMap<string, Slot> },
      done: (outcome: unknown) => void,
    ) => {
      const [one = 0, two = 0] = (slots.get(feeds.get("w") ?? "") as Tensor).data as Float32Array;
      done({ ok: true, value: { outputs: new Map([["loss", float32([], [one + two])]]) } });
    },
  };
  const program = {
    inputs: [port, { name: "x", role: "feature", of: "x" }, { name: "y", role: "labels", of: "y" }],
    outputs: [{ name: "loss", role: "loss", of: "loss" }],
  };
  const setup = {
    chain: { id: chainId("chain:b"), source: "b" },
    job: { seed: 1, batch: 2 },
    evaluation: () => program,
    tensors: {
      slot: (of: string) => of,
      spaceSlot: (space: string, _: number, of: string) => `${space}|${of}`,
    },
  };
  const exchange = { exchanges: 10, incoming: [neighbour("a"), neighbour("c")] };
  const moved: number[][] = [];
  const transfer = new StageTransfer(
    setup as unknown as StageSetup,
    exchange as unknown as ExchangeSetup,
    around as unknown as StageSurroundings,
    {
      ...{ rules: { every: 2, mix: 0.5, margin: 0.1 }, ports: [port], at: { term: 1, round: 0 } },
      isOver: () => false,
      joinedBy: () => ({}),
      moved: ([weights]) => moved.push([...(weights as Float32Array)]),
    },
  );
  /** An exchange goes by, of whose batches one lost so much. */
  let exchanges = 0;
  const pass = (loss: number) => {
    transfer.trained(loss);
    const said = transfer.said(exchanges++);
    let hasGone = false;
    transfer.after(exchanges, () => {
      hasGone = true;
    });
    expect(hasGone).toBe(true);
    return said;
  };
  const weights = () => entriesOf(slots.get("w"));
  return { transfer, pass, sent, weights, moved, slots };
}

const passage = { to: "b", term: 1, round: 0, stage: 0 };
const answer = (from: string, step: number): WeightsMessage => ({
  ...{ type: "weights", ...passage, step, chain: `chain:${from}` },
});
const pull = (from: string, step: number) =>
  ({ type: "pull", ...passage, step, chain: `chain:${from}` }) as const;
const values = (...entries: number[]) => new Map([["values", float32([entries.length], entries)]]);
const asker = (name: string) => ({
  ...{ chain: `chain:${name}`, node: nodeId(name), place: 0, microBatches: 1 },
});

describe("a member that weights are transferred to", () => {
  it("R25: tells every so often what its batches lose, and asks the best of those who lose clearly less", () => {
    const { transfer, pass, sent } = member();
    expect(pass(2)).toEqual({});
    transfer.heard("chain:a", 0.9);
    transfer.heard("chain:c", 0.8);
    expect(pass(4)).toEqual({ loss: 3 });
    expect(sent.map(({ message }) => message)).toEqual([
      { type: "pull", to: "c", term: 1, round: 0, step: 2, chain: "chain:b", stage: 0 },
    ]);
    pass(0.85);
    // Little more than the other one's.
    pass(0.85);
    expect(sent).toHaveLength(1);
  });

  it("R25: goes part of the way to weights that do better on its held-out samples", () => {
    const { transfer, pass, sent, weights, moved, slots } = member();
    transfer.heard("chain:a", 0.5);
    [1, 1].forEach(pass);
    // Of a version that it has not reached itself.
    expect(transfer.take(answer("a", 4), values(0, 2))).toBe(true);
    pass(1);
    expect(weights()).toEqual([4, 8]);
    pass(1);
    expect(weights()).toEqual([2, 5]);
    expect(moved).toEqual([[2, 5]]);
    expect(transfer.transfers).toEqual([
      { chain: "chain:a", version: 4, at: 4, ownLoss: 12, mixedLoss: 7, isTaken: true },
    ]);
    expect([...slots.keys()]).toEqual(["w"]);
    // It may be asked again.
    expect(sent.filter(({ message }) => message.type === "pull")).toHaveLength(2);
  });

  it("R25: keeps its own where they do better, and asks that neighbour no more", () => {
    const { transfer, pass, sent, weights } = member();
    transfer.heard("chain:a", 0);
    transfer.heard("chain:c", 0.5);
    [1, 1].forEach(pass);
    transfer.take(answer("a", 2), values(100, 8));
    [1, 1].forEach(pass);
    expect(weights()).toEqual([4, 8]);
    expect(transfer.transfers).toMatchObject([{ chain: "chain:a", isTaken: false }]);
    const asked = sent.map(({ message }) => (message.type === "pull" ? message.to : ""));
    expect(asked).toEqual(["a", "c"]);
    [1, 1, 1].forEach(pass);
    expect(sent).toHaveLength(2);
  });

  it("R25, R22: takes nothing that it has not asked for, and says where what it has does not fit", () => {
    const { transfer, pass, weights } = member();
    expect(transfer.take(answer("a", 1), values(0, 0))).toBe(true);
    transfer.heard("chain:a", 0.5);
    [1, 1].forEach(pass);
    expect(transfer.take(answer("a", 2), values(1))).toBe(false);
    transfer.lost("chain:a");
    transfer.heard("chain:c", 0.5);
    [1, 1].forEach(pass);
    expect(transfer.take(answer("c", 2), values(Number.NaN, 1))).toBe(false);
    transfer.lost("chain:c");
    [1, 1].forEach(pass);
    expect(weights()).toEqual([4, 8]);
    expect(transfer.transfers).toEqual([]);
  });

  it("R25: gives its weights after the next exchange, and no more often than the rules have it", () => {
    const { transfer, pass, sent } = member();
    transfer.asked(asker("a"), pull("a", 1));
    expect(sent).toEqual([]);
    pass(1);
    expect(sent).toMatchObject([
      { message: { type: "weights", to: "a", step: 1, chain: "chain:b" } },
    ]);
    expect(entriesOf(sent[0]?.tensors?.get("values"))).toEqual([4, 8]);
    transfer.asked(asker("a"), pull("a", 2));
    pass(1);
    expect(sent).toHaveLength(1);
    transfer.asked(asker("a"), pull("a", 3));
    transfer.asked(asker("c"), pull("c", 3));
    pass(1);
    expect(sent.slice(1).map(({ message }) => message)).toMatchObject([{ to: "a" }, { to: "c" }]);
  });
});
