/**
 * How long codecs take: planners choose one for a link by what it saves there and what it costs at both
 * ends. Encoding and decoding go through all values of a tensor once or twice, so their time is
 * proportional to its bytes; the rates below were measured (`npm run bench -- codecs`), and a node that
 * computes so many times as fast is taken to code as many times as fast.
 *
 * Peers code in the thread that handles messages, where duty cycles do not hold them back.
 */
import type { LinkCodecName } from "../codec/link-codec.ts";
import type { SegmentCost } from "../compile/segment.ts";
import type { Profile } from "./plan.ts";

/** Bytes of float32 values that a core of the measured machine codes in a millisecond. */
interface CodingRate {
  readonly encode: number;
  readonly decode: number;
}

/** Rates in 10^9 bytes a second, as benchmarks print them. */
const rate = (encode: number, decode: number): CodingRate => ({
  encode: encode * 1e6,
  decode: decode * 1e6,
});

/** Features of 32x64x32x32 values in docs/benchmarks.md's table. */
const rates: { readonly [Name in LinkCodecName]: CodingRate } = {
  float32: rate(Infinity, Infinity),
  float16: rate(0.53, 0.53),
  affine8: rate(1.5, 1.94),
  affine4: rate(0.71, 1.69),
  "affine8-stochastic": rate(1.35, 2.02),
  "affine4-stochastic": rate(0.66, 1.24),
  topk10: rate(0.31, 0.4),
  topk1: rate(0.35, 0.45),
  "float16+feedback": rate(0.2, 0.53),
  "affine8+feedback": rate(0.35, 1.94),
  "affine4+feedback": rate(0.28, 1.69),
  "affine8-stochastic+feedback": rate(0.35, 2.02),
  "affine4-stochastic+feedback": rate(0.27, 1.24),
  "topk10+feedback": rate(0.17, 0.4),
  "topk1+feedback": rate(0.19, 0.45),
  "float16+delta": rate(0.2, 0.35),
  "affine8+delta": rate(0.33, 0.53),
  "affine4+delta": rate(0.27, 0.51),
  "affine8-stochastic+delta": rate(0.33, 0.53),
  "affine4-stochastic+delta": rate(0.26, 0.48),
  "topk10+delta": rate(0.17, 0.27),
  "topk1+delta": rate(0.19, 0.29),
};

/** What the measured machine computes in a millisecond: the middle of what models reach there. */
const flopsPerMs = 20e6;

/** How many times as fast as the measured machine a node codes, by how fast it computes. */
export function codingSpeed(
  { segments: times }: Profile,
  segments: readonly SegmentCost[],
): number {
  let [flops, ms] = [0, 0];
  for (const [i, { forwardFlops, backwardFlops }] of segments.entries()) {
    flops += forwardFlops + backwardFlops;
    ms += (times[i]?.forwardMs ?? 0) + (times[i]?.backwardMs ?? 0);
  }
  return flops > 0 && ms > 0 ? flops / ms / flopsPerMs : 1;
}

/** Milliseconds that encoding so many bytes of float32 values takes on a node of a {@link codingSpeed}. */
export const encodeMs = (codec: LinkCodecName, bytes: number, speed: number): number =>
  bytes / (rates[codec].encode * speed);

/** The same for decoding. */
export const decodeMs = (codec: LinkCodecName, bytes: number, speed: number): number =>
  bytes / (rates[codec].decode * speed);
