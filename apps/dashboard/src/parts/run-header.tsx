/** The run at a glance: which one, what state it is in, how good the model is, how long, how much. */
import { formatBytes, formatMs, measuredWords, type RunSummary } from "edgeloom";
import { useEffect, useState } from "preact/hooks";
import type { RunModel } from "../run-model.ts";
import {
  clock,
  counted,
  leftMs,
  msOrUnknown,
  type Phase,
  phaseOf,
  type Source,
  unknown,
} from "../words.ts";

interface Props {
  readonly model: RunModel;
  readonly source: Source;
  readonly isLost: boolean;
}

export function RunHeader({ model, source, isLost }: Props) {
  model.beat.value;
  const { history } = model;
  const summary = model.summary.value;
  const phase = phaseOf(history, summary, source, isLost);
  const isRunning = source === "live" && summary.end === null && !isLost;
  const atMs = useRunClock(model, isRunning);
  const { rounds, roundsAsked, loss, bytesUp, bytesDown, medianRoundMs } = summary;
  const left = isRunning ? leftMs(history, summary, atMs) : null;
  return (
    <header class="run-head panel">
      <div class="run-title">
        <h1>{model.run}</h1>
        <ul class="job">
          {jobWords(model, summary).map((part) => (
            <li key={part}>{part}</li>
          ))}
        </ul>
        <StateChip phase={phase} />
      </div>
      <Accuracy summary={summary} />
      <dl class="figures">
        <Figure name="training loss" value={loss === null ? unknown : loss.toFixed(4)} />
        <Figure name="time" value={clock(atMs)} />
        <Figure name="time left" value={left === null ? unknown : `about ${clock(left)}`} />
        <Figure name="round, median" value={msOrUnknown(medianRoundMs)} />
        <Figure name="sent by devices" value={formatBytes(bytesUp)} />
        <Figure name="sent to devices" value={formatBytes(bytesDown)} />
      </dl>
      <div class="progress">
        <progress value={rounds} max={Math.max(roundsAsked, 1)} aria-label="Rounds done" />
        <span>
          {rounds} of {counted(roundsAsked, "round")}
        </span>
      </div>
    </header>
  );
}

function Accuracy({ summary }: { summary: RunSummary }) {
  const { accuracyRound, isFinal } = summary;
  const [what, value] = measuredWords(summary) ?? ["accuracy", null];
  const when = isFinal ? "final, on all held-out samples" : `after round ${accuracyRound}`;
  return (
    <div class="accuracy">
      <p id="accuracy-name">{what === "loss" ? "held-out loss" : what}</p>
      <p class="big" data-testid="accuracy" aria-describedby="accuracy-name">
        {value ?? unknown}
      </p>
      <p>{value === null ? "not measured yet" : when}</p>
    </div>
  );
}

const Figure = ({ name, value }: { name: string; value: string }) => (
  <div>
    <dt>{name}</dt>
    <dd>{value}</dd>
  </div>
);

/** The state as a word and a shape, so that its colour is never the only sign. */
function StateChip({ phase }: { phase: Phase }) {
  return (
    <p class={`state ${phase.kind}`}>
      <svg width="14" height="14" viewBox="0 0 14 14" aria-hidden="true">
        <path d={shapes[phase.kind]} />
      </svg>
      <strong data-testid="state">{phase.text}</strong>
      {phase.detail !== "" && <span class="detail">{phase.detail}</span>}
    </p>
  );
}

/** Ring, triangle, check, bars, cross, broken line. */
const shapes = {
  waiting: "M7 2a5 5 0 1 1 0 10a5 5 0 1 1 0-10",
  training: "M4 2.5v9l7.5-4.5z",
  measuring: "M4 2.5v9l7.5-4.5z",
  finished: "M2.5 7.5l3 3l6-7",
  interrupted: "M4.5 3v8M9.5 3v8",
  failed: "M3 3l8 8M11 3l-8 8",
  gone: "M1.5 7h3.5M9 7h3.5M6 4l2 6",
  stopped: "M3 3h8v8h-8z",
} as const;

function jobWords({ history }: RunModel, { nodes }: RunSummary): string[] {
  const { started } = history;
  if (started === null) return [];
  const devices = nodes.filter((node) => node.kind === "device").length;
  const known = [started.model, started.planner].filter((text) => text !== "?");
  const [model, planner] = known.length === 2 ? known : [undefined, undefined];
  const parts = [
    model,
    counted(started.parameters, "parameter"),
    counted(devices, "device"),
    planner === undefined ? undefined : `planner ${planner}`,
    `seed ${started.seed}`,
  ];
  return parts.filter((part) => part !== undefined);
}

/** The run's time: a clock while it runs, the newest record's time else. */
function useRunClock(model: RunModel, isRunning: boolean): number {
  const [, tick] = useState(0);
  useEffect(() => {
    if (!isRunning) return;
    const timer = setInterval(() => tick((count) => count + 1), 1000);
    return () => clearInterval(timer);
  }, [isRunning]);
  return isRunning ? model.nowMs() : model.history.atMs;
}

/** "0.42 ms" and the like for a table's cell. */
export const cellMs = (ms: number): string => (Number.isFinite(ms) ? formatMs(ms) : unknown);
