/** What an exchange takes, under a plan that is being made or is in force; and what it is worth to exchange as much as that. */
import { sparseCoding } from "../codec/sparse.ts";
import type { ExchangePlan } from "./exchange.ts";
import type { ExchangeLinks } from "./exchange-links.ts";

/** Bytes of a model's float32 values in a codec, but for what small tensors take more. */
export const codedBytes = (bytes: number, codec: ExchangePlan["codec"]): number =>
  sparseCoding(codec).bytesOf(Math.ceil(bytes / 4), Math.ceil(bytes / 4));

/** What a model weighs, and what members compute to an update. */
interface UpdateCosts {
  readonly bytes: number;
  readonly computeMs: number;
}

/** What agreeing adds to the time of an update, on average. */
export function transferMsOf(
  { every, select, codec, reduce, staleness, topology }: ExchangePlan,
  links: ExchangeLinks,
  { bytes, computeMs }: UpdateCosts,
): number {
  const coded = codedBytes(bytes, codec);
  const share = select.kind === "parts" ? 1 / select.parts : 1;
  const spentMs =
    select.kind === "max-n"
      ? links.edgesMs(topology.map((edge) => Math.min(edge.bytes ?? coded, coded)))
      : share * (reduce === "scatter" ? links.scatterMs(coded) : links.meshMs(coded));
  // What goes while others compute costs no time.
  return Math.max(0, spentMs / every - (staleness > 0 ? computeMs : 0));
}

/** Each time that half as much is exchanged, an update is worth less by what may be spent on a fifth of its computing. */
const halvingShare = 0.2;

/**
 * What it costs that not all is exchanged each update, in time: by time alone, who exchanges nothing is best. For judging whether a
 * plan in force is to change, where links have become faster.
 */
export function seldomMs(
  { every, select, codec, topology }: ExchangePlan,
  { bytes, computeMs }: UpdateCosts,
): number {
  const coded = codedBytes(bytes, codec);
  const limited = topology.map((edge) => Math.min(1, (edge.bytes ?? coded) / coded));
  const ofAll = {
    all: 1,
    significant: 1,
    parts: select.kind === "parts" ? 1 / select.parts : 1,
    // The largest entries say more than as many others.
    "max-n": Math.sqrt(limited.reduce((sum, own) => sum + own, 0) / Math.max(1, limited.length)),
  }[select.kind];
  return halvingShare * computeMs * Math.log2(every / Math.max(1e-3, ofAll));
}
