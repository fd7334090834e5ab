/** The stages of a plan on one node, made ready to run: their programs, neighbours, codecs and tensors. */
import { present } from "../../base/assert.ts";
import type { CopyId, NodeId } from "../../base/ids.ts";
import type { LinkCodecName } from "../../codec/link-codec.ts";
import { type Port, type Program, portsOf, type StagePrograms } from "../../compile/program.ts";
import type { ChainPlan, CopyPlan, LinkPlan, Plan } from "../../plan/plan.ts";
import { crossingCodec, type LinkEnd, rememberingEnds } from "../link-memory.ts";
import type { JobSpec } from "../wire/messages.ts";
import { CopyTensors } from "./copy-tensors.ts";
import { type ExchangeSetup, exchangeSetup } from "./exchange-setup.ts";
import type { LinkMemories, StageEnd } from "./link-memories.ts";
import type { WorkerModel } from "./worker-model.ts";

/** What a stage is, fixed for a term. */
export interface StageSetup {
  readonly chain: ChainPlan;
  readonly stage: number;
  readonly copy: CopyId;
  readonly programs: StagePrograms;
  /** Neighbours; null at the ends of the chain. */
  readonly upstream: NodeId | null;
  readonly downstream: NodeId | null;
  /**
   * Whether the chain ends on the node where it began: labels never leave that node then, its last
   * stage draws them itself.
   */
  readonly labelsStay: boolean;
  /** Codec of features that arrive here and leave here, and of gradients likewise. */
  readonly codecs: {
    readonly featureIn: LinkCodecName;
    readonly featureOut: LinkCodecName;
    readonly gradientIn: LinkCodecName;
    readonly gradientOut: LinkCodecName;
  };
  /** Where what those codecs remember outlives rounds, and where that is. */
  readonly ends: readonly StageEnd[];
  readonly memories: LinkMemories;
  /** What the stage exchanges with others like it; null where it does not. */
  readonly exchange: ExchangeSetup | null;
  /** With the chain's own number of batches to an update. */
  readonly job: JobSpec;
  /** The whole model with its loss, for so many samples at once. */
  evaluation(size: number): Program;
  /** The copy's tensors in the engine: one object for all stages of a copy. */
  readonly tensors: CopyTensors;
  /** Batches to an update where the copy merges those of its chains; null where it has one chain alone. */
  readonly perUpdate: number | null;
}

/** The node as far as its stages are concerned. */
export interface StagePlace {
  readonly node: NodeId;
  readonly model: WorkerModel;
  readonly job: JobSpec;
  /** What the node's links remember. */
  readonly memories: LinkMemories;
  /** What the engine holds of a copy from the plan before; undefined where it has none. */
  tensorsOf(copy: CopyId): CopyTensors | undefined;
}

/** @throws ModelError when a stage cannot be compiled */
export function stageSetups(plan: Plan, place: StagePlace): StageSetup[] {
  const known: Known = {
    plan,
    copies: new Map(plan.copies.map((copy) => [copy.id, copy])),
    links: new Map(plan.links.map((link) => [linkKey(link.chain, link.from, link.to), link])),
    ends: rememberingEnds(plan),
  };
  const tensors = new Map<CopyId, CopyTensors>();
  const tensorsOf = (copy: CopyId): CopyTensors => {
    const own = tensors.get(copy) ?? place.tensorsOf(copy) ?? new CopyTensors(copy, place.model);
    tensors.set(copy, own);
    return own;
  };
  return plan.chains.flatMap((chain) =>
    chain.stages.flatMap(
      (_, stage) => setupOf(known, { chain, stage }, { ...place, tensorsOf }) ?? [],
    ),
  );
}

interface SharedTensors {
  tensorsOf(copy: CopyId): CopyTensors;
}

/** A plan's copies by id, and its links by chain and ends. */
interface Known {
  readonly plan: Plan;
  readonly copies: ReadonlyMap<CopyId, CopyPlan>;
  readonly links: ReadonlyMap<string, LinkPlan>;
  readonly ends: ReadonlyMap<string, readonly LinkEnd[]>;
}

/** The link under a chain's border between two nodes; there is none within a node or at an end. */
const linkKey = (chain: string, from: NodeId | null, to: NodeId | null): string =>
  `${from} to ${to} of ${chain}`;

/** Null for a stage of another node. */
function setupOf(
  { plan, copies, links, ends }: Known,
  { chain, stage }: { chain: ChainPlan; stage: number },
  place: Omit<StagePlace, "tensorsOf"> & SharedTensors,
): StageSetup | null {
  const { node, model, job, memories, tensorsOf } = place;
  const along = chain.stages.map(({ copy }) => present(copies.get(copy), copy));
  const own = present(along[stage], "a copy");
  if (own.node !== node) return null;
  const upstream = along[stage - 1]?.node ?? null;
  const downstream = along[stage + 1]?.node ?? null;
  const linkIn = links.get(linkKey(chain.id, upstream, node));
  const linkOut = links.get(linkKey(chain.id, node, downstream));
  const { backward, merge } = present(chain.stages[stage], "a stage");
  const isReplayed = backward === "replay";
  const perUpdate = merge === undefined ? null : merge * job.optimizer.accumulate;
  const exchange = exchangeSetup(plan, chain, own);
  const { accumulate } = job.optimizer;
  const updates = {
    microBatches: exchange?.toUpdate ?? accumulate,
    isJoined: exchange?.plan.every === 1,
  };
  const isMerged = (perUpdate ?? 1) > 1;
  const programs = model.stage(own.from, own.to, { isReplayed, isMerged, ...updates });
  const held = ends.get(chain.id)?.filter(({ copy }) => copy === own.id) ?? [];
  return {
    chain,
    stage,
    copy: own.id,
    programs,
    tensors: tensorsOf(own.id),
    perUpdate,
    upstream,
    downstream,
    labelsStay: along.length > 1 && along.at(-1)?.node === chain.source,
    codecs: codecsOf(chain, stage, linkIn, linkOut),
    ends: held.map((end) => ({ end, ports: portsAt(programs, end) })),
    memories,
    exchange,
    evaluation: (size) => model.evaluation(size),
    job: { ...job, optimizer: { ...job.optimizer, accumulate: updates.microBatches } },
  };
}

function codecsOf(
  chain: ChainPlan,
  stage: number,
  linkIn: LinkPlan | undefined,
  linkOut: LinkPlan | undefined,
): StageSetup["codecs"] {
  const before = { border: stage - 1 };
  const after = { border: stage };
  return {
    featureIn: crossingCodec(linkIn?.codecUp ?? "float32", chain, { ...before, way: "up" }),
    gradientOut: crossingCodec(linkIn?.codecDown ?? "float32", chain, { ...before, way: "down" }),
    featureOut: crossingCodec(linkOut?.codecUp ?? "float32", chain, { ...after, way: "up" }),
    gradientIn: crossingCodec(linkOut?.codecDown ?? "float32", chain, { ...after, way: "down" }),
  };
}

/** What crosses the border at an end. */
function portsAt(programs: StagePrograms, { way, side }: LinkEnd): readonly Port[] {
  const { forward, backward, step } = programs;
  if (way === "up") {
    return side === "sender"
      ? portsOf(forward?.outputs ?? [], "feature")
      : portsOf((step ?? forward)?.inputs ?? [], "feature");
  }
  return side === "sender"
    ? portsOf((step ?? backward)?.outputs ?? [], "gradient")
    : portsOf(backward?.inputs ?? [], "gradient");
}
