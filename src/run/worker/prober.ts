/**
 * The probe: how fast this node runs each segment. Every segment's programs run
 * a few times on zeros (kernels take as long on zeros as on data) and the median
 * counts. Stages are longer than segments, but their times add up well enough
 * to plan with, and L probes serve all L*(L-1)/2 possible stages.
 */
import { present } from "../../base/assert.ts";
import { median } from "../../base/statistics.ts";
import { hollow, type Tensor, zeros } from "../../base/tensor.ts";
import type { Port, Program, StagePrograms } from "../../compile/program.ts";
import type { Profile, SegmentTime } from "../../plan/plan.ts";
import type { Cancel, Done, EngineRun, Host, Outcome, Slot } from "../host.ts";

const prefix = "probe|";

/**
 * Measures a profile. `segments[k]` are the programs of a stage that is segment k alone.
 * @returns gives the measurement up and frees its slots at once, so that another one may begin
 */
export function probe(
  host: Host,
  segments: readonly StagePrograms[],
  repeats: number,
  done: Done<Profile>,
): Cancel {
  let isOver = false;
  const end = (outcome: Outcome<Profile>): void => {
    isOver = true;
    done(outcome);
  };
  const programs = segments.flatMap((stage) =>
    [stage.forward, stage.backward, stage.update, stage.step].filter((program) => program !== null),
  );
  const samples = new Map<string, { computeMs: number[]; callMs: number[] }>();
  // The first run of a program pays for memory and caches: it warms up and does not count. Where
  // nothing is computed there is nothing to warm up, and nothing varies.
  const { isHollow = false } = host.engine;
  const runs = isHollow ? 1 : 1 + repeats;
  const queue = programs.flatMap((program) => Array<Program>(runs).fill(program));
  let at = 0;
  const finish = (): void => {
    host.engine.drop(prefix, (outcome) => {
      if (isOver) return;
      end(outcome.ok ? { ok: true, value: profileOf(segments, samples) } : outcome);
    });
  };
  const next = (): void => {
    const program = queue[at++];
    if (program === undefined) return finish();
    const startedMs = host.now();
    host.engine.run(isHollow ? hollowRun(program) : probeRun(program), (outcome) => {
      if (isOver) return;
      if (!outcome.ok) return end(outcome);
      const { computeMs } = outcome.value;
      const isWarm = isHollow || samples.has(program.id);
      const seen = samples.get(program.id) ?? { computeMs: [], callMs: [] };
      samples.set(program.id, seen);
      if (isWarm) {
        seen.computeMs.push(computeMs);
        seen.callMs.push(Math.max(0, host.now() - startedMs - computeMs));
      }
      next();
    });
  };
  host.engine.load(programs, (loaded) => {
    if (isOver) return;
    if (!loaded.ok) return end(loaded);
    host.engine.write(isHollow ? new Map() : inputSlots(programs), (written) => {
      if (isOver) return;
      if (written.ok) next();
      else end(written);
    });
  });
  return () => {
    if (isOver) return;
    isOver = true;
    host.engine.drop(prefix, () => {});
  };
}

const slotOf = (program: Program, port: Port): Slot => `${prefix}${program.id}|${port.name}`;

/** Each program is timed on its own zeros; nothing flows between them. */
function inputSlots(programs: readonly Program[]): Map<Slot, Tensor> {
  const slots = new Map<Slot, Tensor>();
  for (const program of programs) {
    for (const port of program.inputs) slots.set(slotOf(program, port), zeros(port));
  }
  return slots;
}

function probeRun(program: Program): EngineRun {
  return {
    program: program.id,
    feeds: new Map(program.inputs.map((port) => [port.name, slotOf(program, port)])),
    keep: new Map(program.outputs.map((port) => [port.name, `${slotOf(program, port)}|out`])),
    fetch: [],
  };
}

/** Where nothing is computed there is nothing to keep in slots either. */
const hollowRun = ({ id, inputs }: Program): EngineRun => ({
  program: id,
  feeds: new Map(inputs.map((port) => [port.name, hollow(port)])),
  keep: new Map(),
  fetch: [],
});

function profileOf(
  segments: readonly StagePrograms[],
  samples: ReadonlyMap<string, { computeMs: number[]; callMs: number[] }>,
): Profile {
  const medians = new Map([...samples].map(([id, { computeMs }]) => [id, median(computeMs)]));
  // Every run pays a fixed price, which a stage of many segments pays once and not
  // per segment. The cheapest program, which does next to nothing, shows it.
  const fixedMs = Math.min(...medians.values());
  const ms = (program: Program | null): number =>
    program === null ? 0 : present(medians.get(program.id), "probe samples") - fixedMs;
  const times: SegmentTime[] = segments.map(({ forward, backward, update, step }) =>
    step === null
      ? { forwardMs: ms(forward), backwardMs: ms(backward), updateMs: ms(update) }
      : splitStep(ms(step)),
  );
  return {
    segments: times,
    runMs: fixedMs,
    callMs: median([...samples.values()].flatMap((sample) => sample.callMs)),
  };
}

/**
 * The segment with the loss runs as one program, so only its sum is measured.
 * A backward pass does twice the work of a forward pass (two products for one);
 * planners use the sum, evaluation the forward third.
 */
function splitStep(ms: number): SegmentTime {
  return { forwardMs: ms / 3, backwardMs: (2 * ms) / 3, updateMs: 0 };
}
