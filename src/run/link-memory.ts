/**
 * What codecs remember at the borders of chains from round to round: whose it is, what it is called, and how much
 * there may be. Worker, coordinator and replay go by the same names, so that what one end has come to
 * can be kept, sent to where the stage goes on, or computed again.
 *
 * Memory belongs to a chain, to the segment at which it is cut, and to a way over that border: not to the nodes on both
 * sides, nor to a plan. With feedback the sender alone remembers. With deltas both do, and they remember the same
 * rows: the sender knows by which keys, so the receiver brings the rows home and the sender the keys.
 */
import { present } from "../base/assert.ts";
import { groupBy } from "../base/group.ts";
import type { ChainId, CopyId, NodeId } from "../base/ids.ts";
import { type DenseTensor, type Tensor, type TensorType, tensor } from "../base/tensor.ts";
import {
  type LinkCodecName,
  type MemoryKind,
  memoryKind,
  plainCodec,
  rowLengthOf,
  rowsOf,
} from "../codec/link-codec.ts";
import type { SavedRows } from "../codec/row-memory.ts";
import type { ChainPlan, CopyPlan, LinkPlan, Plan } from "../plan/plan.ts";
import type { Tensors } from "./wire/frame.ts";

/** An end of a link that remembers from round to round. */
export interface LinkEnd {
  readonly chain: ChainId;
  /** The copy that it stands at, and its node. */
  readonly copy: CopyId;
  readonly node: NodeId;
  /** The first segment after the border. */
  readonly cut: number;
  readonly way: "up" | "down";
  readonly side: "sender" | "receiver";
  readonly kind: MemoryKind;
  /** Whether whoever sends knows the samples of a batch: who has drawn them. */
  readonly knowsSamples: boolean;
}

/** What ends remember, by name. */
export type Memories = ReadonlyMap<string, SavedRows>;

/** What the job says of memory. */
export interface MemoryRules {
  readonly batch: number;
  /** Samples of which an end remembers something, at most; absent where memory belongs to the link. */
  readonly samples?: number | undefined;
}

/** How much an end remembers of a tensor. */
export interface MemoryRoom {
  readonly rowLength: number;
  readonly capacity: number;
  /** Whether rows belong to samples; otherwise to the places of the batch. */
  readonly isOfSamples: boolean;
}

/** Whether what a chain's codecs remember outlives rounds: where a copy merges, others may have moved it on. */
const remembers = ({ stages }: ChainPlan): boolean =>
  stages.every(({ merge }) => merge === undefined);

/**
 * The codec by which a border is really crossed. Deltas are between values of one sample, which only who has drawn the
 * batch can tell apart: elsewhere their codec goes without them.
 * @param border number of the stage before it
 */
export function crossingCodec(
  codec: LinkCodecName,
  chain: ChainPlan,
  { border, way }: { readonly border: number; readonly way: "up" | "down" },
): LinkCodecName {
  if (memoryKind(codec) !== "delta") return codec;
  return way === "up" && border === 0 && remembers(chain) ? codec : plainCodec(codec);
}

/** The ends of links that remember from round to round, by chain; chains without any are left out. */
export function rememberingEnds(plan: Plan): ReadonlyMap<ChainId, readonly LinkEnd[]> {
  const isRemembered = ({ codecUp, codecDown }: LinkPlan): boolean =>
    memoryKind(codecUp) !== null || memoryKind(codecDown) !== null;
  const links = groupBy(plan.links.filter(isRemembered), ({ chain }) => chain);
  if (links.size === 0) return new Map();
  const copies = new Map(plan.copies.map((copy) => [copy.id, copy]));
  const all = new Map<ChainId, readonly LinkEnd[]>();
  for (const chain of plan.chains) {
    const own = links.get(chain.id);
    if (own === undefined || !remembers(chain)) continue;
    const along = chain.stages.map(({ copy }) => present(copies.get(copy), copy));
    const ends = along.slice(1).flatMap((after, border) => {
      const before = present(along[border], "a stage before");
      const link = own.find(({ from, to }) => from === before.node && to === after.node);
      return link === undefined ? [] : endsAt(chain, { link, before, after, border });
    });
    if (ends.length > 0) all.set(chain.id, ends);
  }
  return all;
}

/** A border between two nodes, after so many others. */
interface Border {
  readonly link: LinkPlan;
  readonly before: CopyPlan;
  readonly after: CopyPlan;
  readonly border: number;
}

function endsAt(chain: ChainPlan, { link, before, after, border }: Border): LinkEnd[] {
  return (["up", "down"] as const).flatMap((way) => {
    const named = way === "up" ? link.codecUp : link.codecDown;
    const kind = memoryKind(crossingCodec(named, chain, { border, way }));
    if (kind === null) return [];
    const [sender, receiver] = way === "up" ? [before, after] : [after, before];
    const knowsSamples = way === "up" && border === 0;
    const common = { chain: chain.id, cut: after.from, way, kind, knowsSamples };
    const ends: LinkEnd[] = [
      { ...common, copy: sender.id, node: sender.node, side: "sender" },
      { ...common, copy: receiver.id, node: receiver.node, side: "receiver" },
    ];
    return kind === "delta" ? ends : ends.slice(0, 1);
  });
}

/** How much an end remembers of a tensor of this type. */
export function roomFor(
  { knowsSamples }: Pick<LinkEnd, "knowsSamples">,
  type: TensorType,
  { batch, samples }: MemoryRules,
): MemoryRoom {
  const rows = rowsOf(type);
  // A tensor may have another first axis than the batch's.
  const isOfSamples = knowsSamples && samples !== undefined && rows === batch;
  const capacity = isOfSamples ? Math.max(samples, rows) : rows;
  return { rowLength: rowLengthOf(type), capacity, isOfSamples };
}

/** Whether an end brings home by which keys it has its rows, since the other end brings the same rows. */
export const isKeysAlone = ({ kind, side }: LinkEnd): boolean =>
  kind === "delta" && side === "sender";

/** The name of what an end remembers of the tensor at a place of its border. */
export const memoryName = ({ chain, cut, way, kind, side }: LinkEnd, place: number): string =>
  `${prefix}${chain}|${cut}|${way}|${kind}|${side}|${place}`;

const prefix = "memory|";

/** Adds what an end remembers to what leaves, or to what is kept. */
export function putMemory(
  out: { set(name: string, value: DenseTensor): void },
  name: string,
  saved: SavedRows,
): void {
  for (const [part, value] of saved) out.set(`${name}|${part}`, value);
}

/** Parts tensors into what is remembered, by its name, and all others. */
export function splitMemory(tensors: Tensors): {
  readonly memory: Map<string, SavedRows>;
  readonly others: Tensors;
} {
  const memory = new Map<string, SavedRows>();
  const others = new Map<string, Tensor>();
  for (const [name, value] of tensors) {
    if (!name.startsWith(prefix) || value.data === null) others.set(name, value);
    else {
      const end = name.slice(0, name.lastIndexOf("|"));
      const saved = memory.get(end) ?? new Map<string, DenseTensor>();
      saved.set(name.slice(end.length + 1), value as DenseTensor);
      memory.set(end, saved);
    }
  }
  return { memory, others };
}

/** Keys of a sender with the rows of its receiver, which has them by the slots that the sender has chosen. */
export function withRows(keys: SavedRows, rows: SavedRows): SavedRows {
  const slots = present(keys.get("slots"), "slots").data as Int32Array;
  const { data, shape } = present(rows.get("rows"), "rows");
  const [known, rowLength = 0] = [data as Float32Array, shape[1]];
  const placeOf = new Map(
    [...(present(rows.get("slots"), "slots").data as Int32Array)].map((slot, i) => [slot, i]),
  );
  const values = new Float32Array(slots.length * rowLength);
  for (const [i, slot] of slots.entries()) {
    const at = placeOf.get(slot);
    // Without its row a sample is told wrong, and the receiver notices.
    if (at !== undefined) {
      values.set(known.subarray(at * rowLength, (at + 1) * rowLength), i * rowLength);
    }
  }
  return new Map(keys).set("rows", tensor("float32", [slots.length, rowLength], values));
}
