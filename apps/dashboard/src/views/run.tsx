/** One run, live or past: the same view. */
import type { RunListing } from "edgeloom";
import { Curves } from "../parts/curves.tsx";
import { Environment } from "../parts/environment.tsx";
import { Events } from "../parts/events.tsx";
import { JoinPanel } from "../parts/join-panel.tsx";
import { NodeTable } from "../parts/node-table.tsx";
import { Notes } from "../parts/notes.tsx";
import { PlanTable } from "../parts/plan-table.tsx";
import { RunHeader } from "../parts/run-header.tsx";
import { TimeLine } from "../parts/time-line.tsx";
import { TimeShares } from "../parts/time-shares.tsx";
import { Topology } from "../parts/topology.tsx";
import { Why } from "../parts/why.tsx";
import type { RunModel } from "../run-model.ts";
import type { Source } from "../words.ts";

interface Props {
  readonly model: RunModel;
  readonly source: Source;
  /** The live run's server does not answer. */
  readonly isLost: boolean;
  readonly files: RunListing["files"];
  readonly token: string | null;
}

/** From this many nodes on, what is out of view is left alone while the run goes on. */
const busyNodes = 16;

export function RunView({ model, source, isLost, files, token }: Props) {
  const isLive = source === "live";
  const { end, nodes } = model.summary.value;
  const isMoving = isLive && !isLost && end === null;
  const isBusy = isMoving && nodes.length > busyNodes;
  return (
    <article class={isBusy ? "run busy" : "run"}>
      <Notes notes={model.notes.value} />
      <RunHeader model={model} source={source} isLost={isLost} />
      {isMoving && token !== null && (
        <JoinPanel
          token={token}
          joined={nodes.filter(({ left }) => left === null).map(({ name }) => name)}
        />
      )}
      <div class="fleet">
        <section class="panel" aria-labelledby="fleet">
          <h2 id="fleet">The fleet</h2>
          <Topology model={model} />
          <p class="hint">
            Blocks are the segments of the model, filled where a node trains them. A link shows what
            it carried in the last round, up and down, of the rate that the plan allots to it. A
            thick link goes straight from worker to worker, a thin one through the coordinator.
          </p>
        </section>
        <Why model={model} />
      </div>
      <Curves model={model} />
      {model.hasActivity.value && <TimeLine model={model} isMoving={isMoving} />}
      <TimeShares model={model} />
      <PlanTable model={model} />
      <NodeTable model={model} />
      <div class="pair far">
        <Events model={model} isLive={isLive} />
        <Environment model={model} files={files} token={token} />
      </div>
    </article>
  );
}
