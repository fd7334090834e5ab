/** What goes wrong in a simulation, and when: plain data, so that scenarios can say it and reports can name it. */
import { present, unreachable } from "../base/assert.ts";
import { formatMs } from "../base/units.ts";
import type { Machine } from "./machine.ts";
import type { Network } from "./network.ts";
import type { World } from "./world.ts";

/** A peer ends without a word, between two events. */
export interface SimCrash {
  readonly kind: "crash";
  readonly node: string;
  readonly atMs: number;
  /** When it starts again, counted from the crash; null or absent where it does not. */
  readonly forMs?: number | null;
  /** The power fails: connections are not closed, they fall silent. */
  readonly isSilent?: boolean;
  /** It comes back without what was on its disk. */
  readonly losesDisk?: boolean;
  /** Of the newest checkpoint on its disk, a file is half there only. */
  readonly tearsDisk?: boolean;
}

/** A machine is about to be taken away, and its peer is told: SIGTERM, or the warning of a spot machine. */
export interface SimNotice {
  readonly kind: "notice";
  readonly node: string;
  readonly atMs: number;
  /** Time that is left to it; then the power goes. */
  readonly withinMs: number;
  /** When it starts again, counted from the notice; null or absent where it does not. */
  readonly forMs?: number | null;
}

/** On a node's machine, its worker is started a second time while the first one is there. */
export interface SimTwin {
  readonly kind: "twin";
  readonly node: string;
  readonly atMs: number;
  /** It takes itself for the same process, like the copy of a browser's tab. */
  readonly isSame: boolean;
}

/** A machine stands still: nothing that happens reaches its peer before it goes on. */
export interface SimPause {
  readonly kind: "pause";
  readonly node: string;
  readonly atMs: number;
  readonly forMs: number;
}

/** Nodes are cut off from all others, though not from each other. */
export interface SimPartition {
  readonly kind: "partition";
  readonly nodes: readonly string[];
  readonly atMs: number;
  readonly forMs: number;
}

/** Two nodes are cut off from each other, though not from all others. */
export interface SimCut {
  readonly kind: "cut";
  readonly between: readonly [string, string];
  readonly atMs: number;
  readonly forMs: number;
  /** Their connections break at once; otherwise what is under way waits. */
  readonly isReset?: boolean;
}

/** A machine computes more slowly. */
export interface SimSlow {
  readonly kind: "slow";
  readonly node: string;
  readonly atMs: number;
  readonly forMs: number;
  /** So many times as long. */
  readonly factor: number;
}

/** A machine's clock goes ahead at once. */
export interface SimJump {
  readonly kind: "jump";
  readonly node: string;
  readonly atMs: number;
  readonly aheadMs: number;
}

/** Something that goes wrong. `node` may be "coordinator". */
export type SimFault =
  | SimCrash
  | SimNotice
  | SimTwin
  | SimPause
  | SimPartition
  | SimCut
  | SimSlow
  | SimJump;

/** Has a fault happen, and end where it does; `machinesOf` says whom a name means. */
export function schedule(fault: SimFault, { world, network, machinesOf }: FaultPlace): void {
  if (fault.kind === "partition") {
    const ends = fault.nodes.flatMap((name) => machinesOf(name).map(({ access }) => access));
    world.at(fault.atMs, () => world.after(fault.forMs, network.partition(ends)));
    return;
  }
  if (fault.kind === "cut") {
    const [a, b] = fault.between.map((name) => present(machinesOf(name)[0], name));
    world.at(fault.atMs, () => {
      const [one, other] = [present(a, "a machine"), present(b, "a machine")];
      world.after(fault.forMs, network.cut(one.access, other.access));
      if (fault.isReset === true) one.reset(other);
    });
    return;
  }
  for (const machine of machinesOf(fault.node)) happen(machine, fault, world);
}

/** Where faults happen. */
export interface FaultPlace {
  readonly world: World;
  readonly network: Network;
  /** The machines by a name: a node, and after it the coordinator where it runs there. */
  machinesOf(name: string): readonly Machine[];
}

function happen(
  machine: Machine,
  fault: Exclude<SimFault, SimPartition | SimCut>,
  world: World,
): void {
  switch (fault.kind) {
    case "crash": {
      const { forMs = null } = fault;
      world.at(fault.atMs, () => machine.crash(fault));
      if (forMs !== null) world.at(fault.atMs + forMs, () => machine.boot());
      return;
    }
    case "notice": {
      const { withinMs, forMs = null } = fault;
      world.at(fault.atMs, () => machine.giveNotice(withinMs));
      world.at(fault.atMs + withinMs, () => machine.crash({ isSilent: true }));
      if (forMs !== null) world.at(fault.atMs + Math.max(withinMs, forMs), () => machine.boot());
      return;
    }
    case "twin":
      world.at(fault.atMs, () => machine.startTwin(fault.isSame));
      return;
    case "pause":
      world.at(fault.atMs, () => world.after(fault.forMs, machine.pause()));
      return;
    case "slow":
      world.at(fault.atMs, () => world.after(fault.forMs, machine.slow(fault.factor)));
      return;
    case "jump":
      world.at(fault.atMs, () => machine.jump(fault.aheadMs));
      return;
    default:
      unreachable(fault);
  }
}

/** A fault in words: "b crashes at 12.0 s, for 4.0 s". */
export function faultText(fault: SimFault): string {
  const at = `at ${formatMs(fault.atMs)}`;
  switch (fault.kind) {
    case "crash": {
      const how = fault.isSilent === true ? "loses power" : "crashes";
      const lost = fault.losesDisk === true ? ", without its disk" : "";
      const torn = fault.tearsDisk === true ? ", with a torn checkpoint" : "";
      return `${fault.node} ${how} ${at}${backText(fault)}${lost}${torn}`;
    }
    case "notice": {
      const within = `has notice ${at} to go within ${formatMs(fault.withinMs)}`;
      return `${fault.node} ${within}${backText(fault)}`;
    }
    case "twin": {
      const who = fault.isSame ? ", as the same process" : "";
      return `${fault.node} is started twice ${at}${who}`;
    }
    case "pause":
      return `${fault.node} stands still ${at} for ${formatMs(fault.forMs)}`;
    case "partition":
      return `${fault.nodes.join(", ")} cut off ${at} for ${formatMs(fault.forMs)}`;
    case "cut": {
      const how = fault.isReset === true ? ", with a reset," : "";
      return `${fault.between.join(" and ")} cut off from each other${how} ${at} for ${formatMs(fault.forMs)}`;
    }
    case "slow":
      return `${fault.node} computes ${fault.factor} times as slowly ${at} for ${formatMs(fault.forMs)}`;
    case "jump":
      return `the clock of ${fault.node} goes ahead by ${formatMs(fault.aheadMs)} ${at}`;
  }
}

const backText = ({ forMs = null }: { readonly forMs?: number | null }): string =>
  forMs === null ? " for good" : `, back after ${formatMs(forMs)}`;
