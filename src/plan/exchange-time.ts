/** What an exchange takes, under a plan that is being made or is in force; and what it is worth to exchange as much as that. */
import { sparseCoding } from "../codec/sparse.ts";
import type { ExchangePlan } from "./exchange.ts";
import type { ExchangeLinks } from "./exchange-links.ts";
import { streamedMs } from "./exchange-stream.ts";

/** Bytes of a model's float32 values in a codec, but for what small tensors take more. */
export const codedBytes = (bytes: number, codec: ExchangePlan["codec"]): number =>
  sparseCoding(codec).bytesOf(Math.ceil(bytes / 4), Math.ceil(bytes / 4));

/** What a model weighs, what members compute to an update, and how many of those a round has. */
interface UpdateCosts {
  readonly bytes: number;
  readonly computeMs: number;
  readonly updates: number;
}

/** What agreeing adds to the time of an update, on average. */
export function transferMsOf(
  { every, select, codec, reduce, staleness, topology, stream }: ExchangePlan,
  links: ExchangeLinks,
  { bytes, computeMs, updates }: UpdateCosts,
): number {
  const coded = codedBytes(bytes, codec);
  const share = select.kind === "parts" ? 1 / select.parts : 1;
  const spentMs =
    select.kind === "max-n"
      ? links.edgesMs(topology.map((edge) => Math.min(edge.bytes ?? coded, coded)))
      : share * (reduce === "scatter" ? links.scatterMs(coded) : links.meshMs(coded));
  if (stream !== undefined) {
    const exchanges = updates / every;
    return streamedMs(stream, { allMs: spentMs, computeMs, exchanges }) / updates;
  }
  // What goes while others compute costs no time.
  return Math.max(0, spentMs / every - (staleness > 0 ? computeMs : 0));
}

/**
 * Steps that a member makes by itself, after which those between two averages count half. On uneven data members drift apart, and
 * the steps that it takes to get somewhere grow in proportion to those between two averages (Koloskova et al., "A unified theory of
 * decentralized SGD with changing topology and local updates", ICML 2020). Measured on Dirichlet 0.3 (docs/benchmarks.md).
 */
const stepsApart = 224;
/** Each time that half of a gradient's entries stay behind, it is worth less by what may be spent on a fifth of its computing. */
const halvingShare = 0.2;
/**
 * What codes leave of an update's worth. Nothing is lost for good, since what they round off goes with the next exchange, and no
 * loss was measured; but coding takes time, so they have to save as much.
 */
const codeShare: Record<ExchangePlan["codec"], number> = {
  float32: 1,
  affine8: 0.98,
  affine4: 0.95,
};

/**
 * What the batches of an update are worth, as a share of what they are as steps one after the other that all members take
 * together. By time alone, who exchanges nothing is best; so plans are judged by time over this share, which is goodput (Qiao
 * et al., "Pollux: co-adaptive cluster scheduling for goodput-optimized deep learning", OSDI 2021). At a given learning rate a step
 * moves weights about as far whichever batch its gradient is of: so where gradients are exchanged, all batches of an
 * update make one step; where members update by themselves, each makes one for every `inner` of its batches.
 * @param batches to an update of a member, on average
 */
export function efficiencyOf(
  { every, inner, select, codec, topology }: ExchangePlan,
  { bytes, batches }: { readonly bytes: number; readonly batches: number },
): number {
  const steps = every === 1 ? 1 : batches / (inner ?? batches);
  const apart = every === 1 ? 0 : every * steps;
  const coded = codedBytes(bytes, codec);
  const limited = topology.map((edge) => Math.min(1, (edge.bytes ?? coded) / coded));
  const share = {
    all: 1,
    significant: 1,
    parts: select.kind === "parts" ? 1 / select.parts : 1,
    // The largest entries say more than as many others.
    "max-n": Math.sqrt(limited.reduce((sum, own) => sum + own, 0) / Math.max(1, limited.length)),
  }[select.kind];
  const seldom = 1 + halvingShare * Math.log2(1 / Math.max(1e-3, share));
  return (codeShare[codec] * steps) / batches / (1 + apart / stepsApart) / seldom;
}
