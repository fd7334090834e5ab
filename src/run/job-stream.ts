/** How a model is exchanged by fragments: what a job may say of it, in the field `exchange.stream`. */
import * as z from "zod/mini";
import { InputError } from "../base/errors.ts";
import { delayMax } from "../sync/streaming.ts";

const positiveInt = z.int().check(z.positive());

export const streamSchema = z.strictObject({
  fragments: z._default(positiveInt, 4),
  /** Updates for which a fragment may be under way; as many as links need where absent. */
  delay: z.optional(positiveInt),
  /** Share of its own updates of a fragment under way that a node keeps. */
  mix: z._default(z.number().check(z.nonnegative(), z.lt(1)), 0.5),
});

/** Where a job says that, and what has a bearing on it. */
interface StreamingJob {
  readonly exchange: {
    readonly stream?: z.infer<typeof streamSchema> | undefined;
    readonly every: "auto" | number;
    readonly select: string | object;
    readonly staleness: number;
    readonly transfer?: object | undefined;
  };
}

/** @throws InputError where the rest of the job leaves no room for fragments */
export function refuseStream(
  { exchange }: StreamingJob,
  locate: (path: readonly PropertyKey[]) => string,
): void {
  const { stream, every, select, staleness, transfer } = exchange;
  if (stream === undefined) return;
  const refuse = (received: string, allowed: string): never => {
    const path = ["exchange", "stream"];
    throw new InputError({ what: path.join("."), received, allowed, where: locate(path) });
  };
  const { fragments, delay = 1 } = stream;
  const isWhole = (select === "auto" || select === "all") && staleness === 0;
  if (!isWhole || transfer !== undefined) {
    refuse(
      "fragments of other than whole changes in time",
      "select: all or auto, staleness: 0, and no transfer",
    );
  }
  if (every === "auto") return;
  if (fragments > every || every === 1) {
    refuse(
      `${fragments} fragments with every: ${every}`,
      "every: 2 or more, and as many fragments at most",
    );
  }
  const most = delayMax(every, fragments);
  if (delay > most) {
    refuse(
      `a delay of ${delay} with ${fragments} fragments in ${every} updates`,
      `${most} at most, so that one is under way at a time`,
    );
  }
}
