/**
 * Payloads: bytes that are sent only to measure a link. The receiver drops them. The sender reads
 * what its channel has learnt from their acknowledgements.
 */
import { hollow, zeros } from "../../base/tensor.ts";
import type { Channel } from "./channel.ts";
import { encodeFrame, type Tensors } from "./frame.ts";
import type { Message } from "./messages.ts";
import { payloadBytesMax } from "./payload-size.ts";

/** What a link was seen to achieve: bytes per millisecond, and half its least round trip. */
export interface MeasuredLink {
  readonly bytesPerMs: number | null;
  readonly latencyMs: number | null;
}

/** Nobody was reached, or the link ended. */
export const unmeasured: MeasuredLink = { bytesPerMs: null, latencyMs: null };

export interface PayloadSize {
  readonly bytes: number;
  /** Whether values can be left out: in a world where nothing is computed. */
  readonly isHollow: boolean;
}

/**
 * Sends one payload.
 * @param done called once it has arrived; never where the channel ends before
 */
export function sendPayload<M extends Message>(
  channel: Channel<M>,
  { bytes, isHollow }: PayloadSize,
  done: (measured: MeasuredLink) => void,
): void {
  const type = { dtype: "uint8", shape: [bytes] } as const;
  const filler = new Map([["filler", (isHollow ? hollow : zeros)(type)]]);
  channel.forward(encodeFrame({ type: "payload" }, filler), {
    isAtOnce: true,
    onConsumed: () => {
      const { achievedBytesPerMs, rttMs } = channel;
      done({ bytesPerMs: achievedBytesPerMs, latencyMs: rttMs === null ? null : rttMs / 2 });
    },
  });
}

/** Whether what came as a payload is no more than one. */
export function isPayload(tensors: Tensors): boolean {
  const [filler, ...others] = [...tensors.values()];
  if (filler === undefined || others.length > 0) return false;
  return (
    filler.dtype === "uint8" &&
    filler.shape.length === 1 &&
    (filler.shape[0] ?? 0) <= payloadBytesMax
  );
}
