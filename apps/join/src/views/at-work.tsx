/** The device at work: its state, the run's rounds and loss, its own speed, and what leaves it. */
import { formatMs } from "edgeloom/browser";
import type { DeviceState } from "../messages.ts";
import { again, entry, lacks, leave, pause, resume } from "../state.ts";
import { Counted } from "./what-leaves.tsx";

const unknown = "–";

export function AtWork({ state }: { state: DeviceState }) {
  const at = entry.value;
  const model = at.kind === "open" ? at.offer.model : null;
  return (
    <>
      <section class="panel" aria-labelledby="title">
        <h1 id="title">{model === null ? "This device" : `Training ${model}`}</h1>
        <State state={state} />
        {state.progress !== null && <Rounds progress={state.progress} round={state.round} />}
        <Figures state={state} />
        <Actions state={state} />
      </section>
      <Counted state={state} />
      <About state={state} />
    </>
  );
}

function State({ state }: { state: DeviceState }) {
  const { phase, isProblem, text, readShare } = state;
  return (
    <>
      <div role="status">
        <p
          class={`state ${phase}${isProblem ? " problem" : ""}`}
          data-testid="state"
          data-phase={phase}
        >
          <span class="lamp" aria-hidden="true" />
          {words(state)}
        </p>
        {text !== "" && phase !== "reading" && (
          <p class={isProblem ? "bad-text" : "lead"} data-testid="reason">
            {text}
          </p>
        )}
      </div>
      {/* Changes with every picture, so it is not spoken. */}
      {phase === "reading" && <p class="lead">{text}</p>}
      {readShare !== null && phase === "reading" && (
        <progress value={readShare} max={1} aria-label="Pictures read" />
      )}
    </>
  );
}

function words({ phase, isProblem, progress }: DeviceState): string {
  switch (phase) {
    case "reading":
      return "Reading the data";
    case "connecting":
      return "Connecting";
    case "waiting":
      return progress !== null && progress.rounds > 0
        ? "Connected, waiting for the next round"
        : "Connected, waiting for the other devices";
    case "training":
      return "Training";
    case "pausing":
      return "Finishing the round, then pausing";
    case "paused":
      return "Paused: this device takes no part";
    case "retrying":
      return "No connection";
    case "ended":
      return isProblem ? "Stopped" : "Done";
  }
}

interface RoundsProps {
  readonly progress: NonNullable<DeviceState["progress"]>;
  readonly round: number | null;
}

/** The device knows of a round before the next answer to how the run goes. */
function Rounds({ progress, round }: RoundsProps) {
  const { roundsAsked } = progress;
  const rounds = Math.max(progress.rounds, (round ?? 1) - 1);
  return (
    <div>
      <progress value={rounds} max={Math.max(1, roundsAsked)} aria-label="Rounds done" />
      <p class="hint">
        {rounds} of {roundsAsked} rounds done
      </p>
    </div>
  );
}

function Figures({ state: { round, lastRound, progress } }: { state: DeviceState }) {
  const [what = "accuracy", measured = unknown] = progress?.measured ?? [];
  return (
    <dl class="figures">
      <div>
        <dt>round</dt>
        <dd data-testid="round">{round ?? unknown}</dd>
      </div>
      <div>
        <dt>training loss</dt>
        <dd data-testid="loss">{progress?.loss?.toFixed(4) ?? unknown}</dd>
      </div>
      <div>
        <dt>held-out {what}</dt>
        <dd>{measured}</dd>
      </div>
      <div>
        <dt>speed of this device</dt>
        <dd data-testid="speed">
          {lastRound === null ? (
            unknown
          ) : (
            <>
              {formatMs(lastRound.batchMs)} <small>a batch</small>
            </>
          )}
        </dd>
      </div>
    </dl>
  );
}

function Actions({ state: { phase } }: { state: DeviceState }) {
  if (phase === "ended") {
    return (
      <div class="actions">
        <button type="button" onClick={() => void again()}>
          Back to the start
        </button>
      </div>
    );
  }
  const isPaused = phase === "paused";
  return (
    <div class="actions">
      <button
        type="button"
        class="primary"
        disabled={phase === "reading" || phase === "pausing"}
        onClick={isPaused ? resume : pause}
      >
        {isPaused ? "Go on" : "Pause"}
      </button>
      <button type="button" onClick={leave}>
        Leave
      </button>
    </div>
  );
}

function About({ state: { samples, engine } }: { state: DeviceState }) {
  return (
    <section class="panel" aria-labelledby="about">
      <h2 id="about">About this device</h2>
      <ul class="plain">
        <li>
          {samples === null ? "Samples are being read." : `${counted(samples)} to learn from.`}
        </li>
        <li>{engine === null ? "Nothing computes yet." : `Computes with ${engine}.`}</li>
        {lacks().map((text) => (
          <li key={text}>{text}</li>
        ))}
      </ul>
    </section>
  );
}

const counted = (samples: number): string =>
  samples === 1 ? "1 sample" : `${samples.toLocaleString("en")} samples`;
