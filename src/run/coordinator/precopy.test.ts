import { describe, expect, test } from "vitest";
import { smallJob, smallModel } from "../../../test/sim/small-job.ts";
import { present } from "../../base/assert.ts";
import { copyId, nodeId } from "../../base/ids.ts";
import { cloneTensor, dense, type Tensor } from "../../base/tensor.ts";
import type { CopyPlan, Plan } from "../../plan/plan.ts";
import type { Tensors } from "../wire/frame.ts";
import type { Message } from "../wire/messages.ts";
import type { FrameFate } from "../wire/sender.ts";
import { CompiledJob } from "./compiled-job.ts";
import type { Member } from "./members.ts";
import { Precopy } from "./precopy.ts";
import { TrainingState } from "./training-state.ts";

const compiled = new CompiledJob(smallJob({ codec: { updates: "affine8" } }), smallModel());
const state = new TrainingState(smallModel(), compiled);

interface Sent {
  readonly message: Message;
  readonly tensors: Tensors;
  readonly fate: FrameFate;
}

/** A member whose link carries what the test says. */
function memberOf(name: string) {
  const sent: Sent[] = [];
  const channel = {
    send: (message: Message, tensors: Tensors = new Map(), fate: FrameFate = {}) =>
      void sent.push({ message, tensors, fate }),
  };
  return { member: { id: nodeId(name), channel } as unknown as Member, sent };
}

const copyOf = (from: number, to: number): CopyPlan => ({
  ...{ id: copyId(`copy:${from}`), node: nodeId("old"), from, to, mode: "train" },
});

/** What a copy brings of a round that has changed everything a little. */
function broughtBy({ from, to }: CopyPlan, round: number): Tensors {
  const values = new Map<string, Tensor>();
  const base = (name: string): Tensor => present(state.committed(name), name);
  for (const name of state.movedIn([{ from, to }])) {
    const value = cloneTensor(dense(base(name)));
    (value.data as Float32Array).forEach((each, i, all) => {
      all[i] = each + 0.01 * Math.sin(i);
    });
    values.set(name, value);
  }
  return compiled.updates.encode({ values, baseOf: base }, { copy: "c", round });
}

/** Segment 2 goes ahead to a member, of the version of round 4 but for what has come of it already. */
function begun(newer: readonly string[] = []) {
  const { member, sent } = memberOf("new");
  let isReady = false;
  const plan = { copies: [] } as unknown as Plan;
  const precopy = new Precopy(
    { plan, term: 7, lacks: [{ member, lacking: [{ from: 2, to: 3 }] }] },
    state,
    (name) => {
      const version = newer.includes(name) ? 5 : 4;
      return { version, value: present(state.committed(name), name) };
    },
    () => {
      isReady = true;
    },
  );
  return { precopy, member, sent, isReady: () => isReady };
}

const second = ["fc2.weight", "momentum:fc2.weight", "fc2.bias", "momentum:fc2.bias"];
const needed: Tensors = new Map(second.map((name) => [name, present(state.committed(name), name)]));
const messagesOf = (sent: readonly Sent[]) =>
  sent.map(({ message, tensors }) => ({ ...message, names: [...tensors.keys()].length }));

describe("R19: what is sent ahead", () => {
  test("goes in the background, and what has changed since follows once it is there", () => {
    const { precopy, member, sent, isReady } = begun();
    expect(messagesOf(sent)).toEqual([{ type: "precopy", term: 7, round: 4, names: 4 }]);
    expect(sent[0]?.fate.isBackground).toBe(true);
    // Two rounds come home meanwhile, the first of them with more than is needed there.
    precopy.follow(copyOf(0, 4), 4, broughtBy(copyOf(0, 4), 4));
    precopy.follow(copyOf(2, 4), 5, broughtBy(copyOf(2, 4), 5));
    expect(sent).toHaveLength(1);
    expect(precopy.without(member, 6, needed)).toBe(needed);
    sent[0]?.fate.onConsumed?.();
    expect(isReady()).toBe(true);
    expect(messagesOf(sent).slice(1)).toEqual([
      { type: "update", term: 7, round: 4, names: 8 },
      { type: "update", term: 7, round: 5, names: 8 },
    ]);
    expect(sent[1]?.fate.isBackground).toBeUndefined();
    // They are the parts that came, and not others that say the same.
    const came = broughtBy(copyOf(2, 3), 6);
    precopy.follow(copyOf(2, 3), 6, came);
    for (const [name, part] of sent.at(-1)?.tensors ?? []) expect(part).toBe(came.get(name));
    expect(precopy.without(member, 7, needed).size).toBe(0);
  });

  test("is of no use to another round, nor to another member", () => {
    const { precopy, member, sent } = begun();
    sent[0]?.fate.onConsumed?.();
    expect(precopy.without(member, 5, needed).size).toBe(4);
    expect(precopy.without(member, 4, needed).size).toBe(0);
    expect(precopy.without(memberOf("other").member, 4, needed).size).toBe(4);
  });

  test("has the version that each tensor has by then", () => {
    const { precopy, member, sent } = begun(["fc2.weight", "momentum:fc2.weight"]);
    expect(messagesOf(sent).map((one) => ("round" in one ? one.round : null))).toEqual([5, 4]);
    for (const { fate } of sent) fate.onConsumed?.();
    // What came before is not sent once more.
    precopy.follow(copyOf(2, 3), 4, broughtBy(copyOf(2, 3), 4));
    expect([...(sent.at(-1)?.tensors.keys() ?? [])].sort()).toEqual(
      ["fc2.bias.0", "fc2.bias.1", "momentum:fc2.bias.0", "momentum:fc2.bias.1"].sort(),
    );
    expect(precopy.without(member, 5, needed).size).toBe(0);
  });

  test("of other segments stays as it is", () => {
    const { precopy, sent } = begun();
    sent[0]?.fate.onConsumed?.();
    precopy.follow(copyOf(4, 5), 4, broughtBy(copyOf(4, 5), 4));
    expect(sent).toHaveLength(1);
  });
});
