import { describe, expect, it } from "vitest";
import { chainId, nodeId } from "../../base/ids.ts";
import { float32, type Tensor } from "../../base/tensor.ts";
import { type ExchangePlan, fullExchange } from "../../plan/exchange.ts";
import { exchangeTimes } from "../../sync/streaming.ts";
import type { Slot } from "../host.ts";
import type { ExchangeMessage, Message } from "../wire/messages.ts";
import { type StageExchange, stageExchange } from "./stage-exchange.ts";
import type { StageSetup } from "./stage-setup.ts";
import type { StageSurroundings } from "./stage-surroundings.ts";

/** A member with two batches to an update between two neighbours with one each, and one trained tensor of two entries. */
function member(
  staleness = 0,
  backups: number | null = null,
  change: Partial<ExchangePlan> = {},
  updates = 0,
) {
  const neighbour = (name: string) => ({
    chain: `chain:${name}`,
    node: nodeId(name),
    microBatches: 1,
  });
  const [a, c] = [neighbour("a"), neighbour("c")];
  const port = { name: "w", role: "parameter", of: "w", dtype: "float32", shape: [2] };
  const setup = {
    chain: { id: chainId("chain:b") },
    programs: { update: { outputs: [port] }, step: null },
    tensors: {
      isMoved: () => true,
      slot: (of: string) => `weight ${of}`,
      spaceSlot: (space: string, _place: number, of: string) => `${space} ${of}`,
    },
    exchange: {
      ...{
        plan: { ...fullExchange, topology: [], staleness, backups, ...change },
        microBatches: 2,
        ...{ ownUpdates: 1, pace: null, times: exchangeTimes({ every: 1, ...change }, updates) },
        exchanges: 3,
      },
      outgoing: [
        { ...a, bytes: null },
        { ...c, bytes: null },
      ],
      ...{ incoming: [a, c], position: 1 },
    },
  } as unknown as StageSetup;
  const sent: Message[] = [];
  const written: number[][] = [];
  const around = {
    host: {
      engine: {
        read: (slots: readonly Slot[], done: (outcome: unknown) => void) =>
          done({ ok: true, value: new Map(slots.map((slot) => [slot, float32([2], [2, 8])])) }),
        write: (values: ReadonlyMap<Slot, Tensor>) => {
          for (const { data } of values.values()) written.push([...(data as Float32Array)]);
        },
      },
    },
    send: (message: Message) => sent.push(message),
  } as unknown as StageSurroundings;
  const at = { term: 1, round: 0, learningRate: 0.1 };
  const exchange = stageExchange(setup, around, at, () => false) as StageExchange;
  return { exchange, sent, written };
}

const part = (
  from: string,
  step: number,
  change: Partial<ExchangeMessage> = {},
): ExchangeMessage => ({
  ...{ type: "exchange", to: "b", term: 1, round: 0, step, chain: `chain:${from}`, stage: 0 },
  ...{ batches: 1, chosen: [2] },
  ...change,
});
const values = (...entries: number[]) => new Map([["values", float32([entries.length], entries)]]);

describe("a member of an exchange by fragments", () => {
  const stream = { fragments: 2, delay: 1, mix: 0.5 };
  /** Its weights are 2 and 8 whenever it reads them, also when it begins; it has shared the first of them. */
  const begun = () => {
    const streaming = member(0, null, { every: 2, stream }, 4);
    const done: string[] = [];
    streaming.exchange.begin();
    const update = () =>
      streaming.exchange.afterUpdate(() => {
        done.push("went on");
      });
    update();
    return { ...streaming, update, done };
  };

  it("R31: trains on while a fragment is under way, waits for it at its time, and mixes it in", () => {
    const { exchange, sent, written, update, done } = begun();
    expect(sent).toMatchObject([
      { step: 0, chosen: [1] },
      { step: 0, chosen: [1] },
    ]);
    expect(done).toHaveLength(1);
    exchange.take(part("a", 0, { chosen: [1] }), values(3));
    update();
    expect(done).toHaveLength(1);
    exchange.take(part("c", 0, { chosen: [1] }), values(6));
    // The change is 0, 3 and 6: 2 + 3, half of the way from the 2 that it has; the other entry is its own.
    expect(written).toEqual([[3.5, 8]]);
    expect(done).toHaveLength(2);
    expect(sent.slice(2)).toMatchObject([
      { step: 1, chosen: [1] },
      { step: 1, chosen: [1] },
    ]);
  });

  it("R31: takes parts of other entries for their sender's fault, and goes on without it", () => {
    const { exchange, written, update } = begun();
    exchange.take(part("a", 0, { chosen: [2] }), values(3, 3));
    exchange.take(part("c", 0, { chosen: [1] }), values(6));
    update();
    expect(written).toEqual([[3.5, 8]]);
  });

  it("R31: goes on from what all came to at the round's end, for all entries", () => {
    const { exchange, sent, written, update } = begun();
    exchange.lost("chain:a");
    for (const step of [0, 1, 2]) {
      exchange.take(part("c", step, { chosen: [1] }), values(0));
      update();
    }
    expect(sent.at(-1)).toMatchObject({ step: 3, chosen: [2] });
    exchange.take(part("c", 3), values(4, 8));
    expect(written.at(-1)).toEqual([4, 12]);
  });
});

describe("a member of an exchange", () => {
  it("R21: waits for all, and goes on with the mean over all batches, whoever came first", () => {
    const { exchange, sent, written } = member();
    let hasGone = false;
    exchange.take(part("c", 0), values(1, 0));
    exchange.beforeUpdate(() => {
      hasGone = true;
    });
    expect(sent.map(({ type }) => type)).toEqual(["exchange", "exchange"]);
    expect(hasGone).toBe(false);
    exchange.take(part("a", 0), values(1, 4));
    expect(hasGone).toBe(true);
    expect(written).toEqual([[1, 3]]);
    expect(exchange.told).toEqual({});
  });

  it("R21: takes nothing twice, of another round, or from further ahead than may be", () => {
    const { exchange, written } = member();
    exchange.take(part("a", 0), values(1, 4));
    exchange.take(part("a", 0), values(100, 100));
    exchange.take(part("c", 0, { round: 1 }), values(100, 100));
    exchange.take(part("c", 0, { term: 0 }), values(100, 100));
    exchange.take(part("c", 1), values(100, 100));
    exchange.take(part("x", 0), values(100, 100));
    exchange.take(part("c", 0), values(1, 0));
    exchange.beforeUpdate(() => {});
    expect(written).toEqual([[1, 3]]);
    exchange.take(part("a", 0), values(100, 100));
    exchange.beforeUpdate(() => {});
    expect(written).toHaveLength(1);
  });

  it("R21: goes on without who is late within the bound, and says what it joined when", () => {
    const { exchange, written } = member(1);
    exchange.take(part("a", 0), values(2, 0));
    exchange.beforeUpdate(() => {});
    // Two batches of its own and one of a neighbour, of four.
    expect(written).toEqual([[1, 2]]);
    exchange.take(part("a", 1), values(2, 0));
    exchange.beforeUpdate(() => {});
    expect(written).toHaveLength(1);
    exchange.take(part("c", 0), values(0, 4));
    expect(written[1]).toEqual([1, 3]);
    expect(exchange.told).toEqual({ joined: [{ chain: "chain:c", parts: [0, 1] }] });
  });

  it("R21: goes on without as many as may be behind, and no more", () => {
    const { exchange, written } = member(1, 1);
    exchange.beforeUpdate(() => {});
    expect(written).toHaveLength(0);
    exchange.take(part("a", 0), values(2, 0));
    expect(written).toEqual([[1, 2]]);
    exchange.take(part("a", 1), values(2, 0));
    exchange.beforeUpdate(() => {});
    // The other one would be two behind.
    expect(written).toHaveLength(1);
    exchange.take(part("c", 0), values(0, 4));
    expect(written[1]).toEqual([1, 3]);
  });

  it.each<[string, Partial<ExchangeMessage>, ReadonlyMap<string, Tensor>]>([
    ["too few values", {}, values(1)],
    ["values that are not finite", {}, values(1, Number.NaN)],
    ["more entries than there are", { chosen: [3] }, values(1, 2, 3)],
    ["other tensors", { chosen: [2, 0] }, values(1, 2)],
    ["places that are none", { chosen: [1] }, values(1)],
    ["more batches than it has", { batches: 1000 }, values(1, 2)],
    ["nothing", { chosen: [] }, new Map()],
  ])("R22: waits no longer for who sends %s", (_what, change, tensors) => {
    const { exchange, written } = member();
    exchange.take(part("a", 0), values(1, 4));
    exchange.beforeUpdate(() => {});
    expect(written).toEqual([]);
    exchange.take(part("c", 0, change), tensors);
    expect(written).toEqual([[1, 4]]);
    expect(exchange.told).toEqual({ joined: [{ chain: "chain:c", parts: [0] }] });
  });

  it("R21: passes on what neighbours joined, who may not live to tell it", () => {
    const { exchange, sent } = member(1);
    exchange.take(part("a", 0), values(1, 4));
    exchange.beforeUpdate(() => {});
    exchange.take(part("a", 1, { joined: [{ chain: "chain:c", parts: 0 }] }), values(1, 4));
    exchange.beforeUpdate(() => {});
    exchange.take(part("c", 0), values(1, 0));
    expect(sent.at(-1)).toMatchObject({ step: 1, joined: [{ chain: "chain:c", parts: 0 }] });
    const own = { chain: "chain:c", parts: [0, 1] };
    const told = { by: "chain:a", chain: "chain:c", parts: [0] };
    expect(exchange.told).toEqual({ joined: [own, told] });
  });

  it("R22: joins what one that is gone had sent, and no more", () => {
    const { exchange, written } = member();
    exchange.take(part("c", 0), values(1, 0));
    exchange.lost("chain:c");
    exchange.take(part("a", 0), values(1, 4));
    exchange.beforeUpdate(() => {});
    expect(written).toEqual([[1, 3]]);
    exchange.take(part("c", 1), values(100, 100));
    exchange.take(part("a", 1), values(1, 4));
    exchange.beforeUpdate(() => {});
    expect(written[1]).toEqual([1, 4]);
  });
});
