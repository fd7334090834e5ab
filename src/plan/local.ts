/**
 * Local training: the one node that holds data trains the whole model. What
 * `edgeloom train` runs, and the yardstick for every other scheme.
 */
import { present } from "../base/assert.ts";
import { PlanError } from "../base/errors.ts";
import { chainId, copyId } from "../base/ids.ts";
import { formatBytes, formatMs } from "../base/units.ts";
import { keepsBase } from "./home-bytes.ts";
import { trainingBytes } from "./memory.ts";
import type { FleetNode, Plan, PlanRequest } from "./plan.ts";
import { heldMs } from "./program-time.ts";

/**
 * Plans one chain of one stage. Its copy is a group of its own: averaging one
 * copy changes nothing, and brings the weights home after every round.
 *
 * @throws PlanError when not exactly one node holds data or its memory is too small
 */
export function local(request: PlanRequest): Plan {
  const { segments, recompute, work, term } = request;
  const node = holderOf(request);
  const needed = trainingBytes(segments, 0, segments.length, {
    ...{ hasLoss: true, recompute, keepsBase: keepsBase(request) },
  });
  if (node.memoryBytes !== null && needed > node.memoryBytes) {
    throw new PlanError(
      `${node.name} has ${formatBytes(node.memoryBytes)} of memory, and training the whole model ` +
        `takes ${formatBytes(needed)}`,
    );
  }
  const copy = copyId(`copy:${node.id}`);
  const chain = chainId(`chain:${node.id}`);
  const whole = { kind: "step", from: 0, to: segments.length } as const;
  const roundMs = work * heldMs(node.profile, whole, node.duty);
  const reason = `${node.name} holds all data and trains all segments, ${formatMs(roundMs)} a round`;
  return {
    term,
    planner: "local",
    objective: "round time",
    copies: [{ id: copy, node: node.id, from: 0, to: segments.length, mode: "train" }],
    chains: [
      {
        id: chain,
        source: node.id,
        stages: [{ copy, backward: "none" }],
        schedule: "serial",
        window: 0,
        work,
      },
    ],
    groups: [{ members: [copy], policy: "average", when: "round" }],
    links: [],
    limits: [{ node: node.id, duty: node.duty }],
    forecasts: [{ chain, roundMs, computeMs: roundMs, transferMs: 0, reason }],
    reason,
  };
}

function holderOf({ fleet }: PlanRequest): FleetNode {
  const holders = fleet.nodes.filter((node) => node.samples > 0);
  if (holders.length === 1) return present(holders[0], "a node with data");
  throw new PlanError(
    holders.length === 0
      ? "local needs a node with training data, and the fleet has none"
      : `local trains on one node, and ${holders.length} hold data ` +
          `(${holders.map((node) => node.name).join(", ")}); parallel-split uses them all`,
  );
}
