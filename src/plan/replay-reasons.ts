/** Why `feature-replay` codes what travels as it does, and keeps what it keeps, in words. */
import { formatBytes, formatMs } from "../base/units.ts";
import type { PlanRequest } from "./plan.ts";
import type { ReplayOption, ReplaySearch } from "./replay-search.ts";

/** A choice with what it is compared to. */
export interface ReplayDecision {
  readonly option: ReplayOption;
  readonly search: ReplaySearch;
  readonly request: PlanRequest;
}

/** Codecs, and what keeps activations. */
export function replayReasons(decision: ReplayDecision): string {
  const { option, request } = decision;
  if (option.cut === request.segments.length) return "nothing travels but weights";
  return `${codecWords(decision)}; ${keptWords(decision)}`;
}

function codecWords({ option, search, request }: ReplayDecision): string {
  const { cut, codecUp, codecDown, bytes } = option;
  const both = `features travel as ${codecUp} and gradients as ${codecDown}, ${formatBytes(bytes)} a batch`;
  if (codecUp === "float32" && codecDown === "float32") return both;
  const plain = search.at(cut, request.work, { up: "float32", down: "float32" });
  if (plain === null) return `${both}; as float32 nothing would get there`;
  // Whatever number of batches it was chosen for, both are compared over a round's.
  const coded = search.at(cut, request.work, { up: codecUp, down: codecDown });
  const times = plain.costMs / (coded?.costMs ?? plain.costMs);
  return `${both}; as float32 they would be ${formatBytes(plain.bytes)} and take ${times.toFixed(1)} x as long`;
}

function keptWords({ option, search, request }: ReplayDecision): string {
  const { cut, backward, codecUp, codecDown, latencyMs } = option;
  if (backward === "stored") return "activations wait for their gradients in memory";
  const codecs = { up: codecUp, down: codecDown };
  const stored = search.at(cut, request.work, codecs, "stored");
  const what = "inputs wait for their gradients, and activations are computed anew";
  if (stored === null) return `${what}: there is no memory for those of a single batch`;
  const held = stored.window + 1;
  return (
    `${what}: there is memory for those of ${held} ${held === 1 ? "batch" : "batches"}, ` +
    `with which a batch would take ${formatMs(stored.latencyMs)} instead of ${formatMs(latencyMs)} but fewer would be under way`
  );
}
