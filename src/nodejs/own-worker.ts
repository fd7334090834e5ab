/** The worker that a coordinator's own process brings along: the edge server, or the one of `train`. */
import { InputError } from "../base/errors.ts";
import type { SampleSource } from "../data/source.ts";
import type { Coordinator } from "../run/coordinator/coordinator.ts";
import type { Engine } from "../run/host.ts";
import { Worker } from "../run/worker/worker.ts";
import { machineName, nodeHost, noStore } from "./host.ts";
import { localLinks } from "./link.ts";
import type { PeerListener } from "./peer-sockets.ts";

export interface OwnWorkerOptions {
  readonly name: string;
  readonly kind: "device" | "edge";
  readonly token: string;
  /** Share of one core's time that it may use; a whole one where absent. */
  readonly duty?: number;
  readonly engine: Engine;
  readonly train: SampleSource | null;
  readonly test: SampleSource | null;
  /** Where other workers of this machine reach it; nobody does where null or absent. */
  readonly door?: PeerListener | null;
}

/**
 * Joins a worker on a link that stays in this process; otherwise it is a worker like any other.
 * @param reject told when the coordinator refuses it: its data do not fit the job, which is wrong
 *   input of whoever started the run
 */
export function startOwnWorker(
  coordinator: Coordinator,
  options: OwnWorkerOptions,
  reject: (error: InputError) => void,
): void {
  const { name, kind, token, duty = 1, engine, train, test, door = null } = options;
  const [near, far] = localLinks();
  coordinator.accept(far);
  const worker = new Worker(
    nodeHost({ engine, train, test, store: noStore, record: () => {} }),
    near,
    {
      name,
      kind,
      token,
      instance: name,
      machine: machineName(),
      duty,
      memoryBytes: null,
      ceilingBytesPerMs: null,
      address: door?.address ?? null,
    },
    {
      onEvent: () => {},
      onEnd: ({ reason, text }) => {
        if (reason !== "refused") return;
        const allowed = "data that the model takes";
        reject(new InputError({ what: "the job's data", received: text, allowed }));
        coordinator.interrupt(text);
      },
    },
  );
  if (door !== null) door.onLink = (link) => worker.accept(link);
}
