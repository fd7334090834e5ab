/**
 * What codecs remember goes on from round to round, with the stage that it belongs to: wherever rounds end, stages move or
 * nodes are lost, weights are those of one long round, and of the replay.
 */
import { describe, expect, test } from "vitest";
import type { Tensor } from "../../src/base/tensor.ts";
import { type LinkCodecName, plainCodec } from "../../src/codec/link-codec.ts";
import type { SimFault } from "../../src/sim/faults.ts";
import { train, type Way } from "./three-nodes.ts";

const pairs: readonly { up: LinkCodecName; down: LinkCodecName; samples: number | null }[] = [
  { up: "affine4+feedback", down: "topk10+feedback", samples: null },
  { up: "topk10+feedback", down: "affine4-stochastic+feedback", samples: 40 },
  // Fewer samples are remembered than there are, and all of them.
  { up: "affine4+delta", down: "affine4", samples: 16 },
  { up: "topk10+delta", down: "topk10+feedback", samples: 100 },
];

const dataOf = ({ weights }: { weights: ReadonlyMap<string, Tensor> }): unknown =>
  [...weights].map(([name, { data }]) => [name, data]);

const serial = { schedule: "serial", window: 0 } as const;

/** The middle stage moves with each plan, and who has no part in it comes and goes, so that there is one. */
const middleOf = ({ term }: { term: number }): string => (term % 2 === 0 ? "other" : "near");
const faults = [60, 160, 260].map(
  (atMs) => ({ kind: "crash", node: "spare", atMs, forMs: 40 }) as const,
);

const trained = (
  { up, down, samples }: (typeof pairs)[number],
  { way = {}, faults = [], job = {} }: { way?: object; faults?: SimFault[]; job?: object } = {},
) => {
  const change = { rounds: 5, localBatches: 6, codec: { up, down, samples }, ...job };
  return train({ ...serial, codecs: { up, down }, ...way } as Way, change, faults);
};

describe.each(pairs)("R27: what $up and $down remember, of $samples samples", (codecs) => {
  test("goes on over rounds: five give the weights of one that is as long", async () => {
    const rounds = await trained(codecs);
    const one = await trained(codecs, { job: { rounds: 1, localBatches: 30 } });
    expect(dataOf(rounds)).toEqual(dataOf(one));
    // Otherwise nothing would follow from that.
    const [up, down] = [plainCodec(codecs.up), plainCodec(codecs.down)];
    expect(dataOf(one)).not.toEqual(dataOf(await trained({ ...codecs, up, down })));
  });

  test("moves with the stage", async () => {
    const moved = await trained(codecs, { way: { middleOf }, faults });
    const middles = moved.records.flatMap((record) =>
      record.type === "planned" ? record.plan.copies.map(({ node }) => node).slice(1, 2) : [],
    );
    expect(new Set(middles)).toEqual(new Set(["near", "other"]));
    expect(dataOf(moved)).toEqual(dataOf(await trained(codecs)));
  });

  test("is what the last committed round came to, where a node is lost within one", async () => {
    const still = dataOf(await trained(codecs));
    for (const node of ["a", "near", "far"]) {
      const crash = { kind: "crash", node, atMs: 250, forMs: 40 } as const;
      expect(dataOf(await trained(codecs, { faults: [crash] }))).toEqual(still);
    }
  });

  test("is that of the log's passes where rounds are open and stages move", async () => {
    const way = { schedule: "window", window: 2, middleOf };
    const { rounds } = await trained(codecs, { way, faults });
    expect(rounds).toHaveLength(5);
  });
});
