/** One way to train for one device: a cut, with what it takes of the device, of its link and of a server. */
import type { LinkCodecName } from "../codec/link-codec.ts";
import type { JointOption } from "./server-price.ts";

/** How a link codes features and gradients. */
export interface LinkCodecs {
  readonly codecUp: LinkCodecName;
  readonly codecDown: LinkCodecName;
}

/** The model's end on a device, segments [from, the last), with the labels; a batch comes there between the server's two passes. */
export interface SplitTail {
  readonly from: number;
  /** On the server before its features leave: a part of its step. */
  readonly serverMs: number;
  /** On the device, from features to gradients; coding included. */
  readonly ms: number;
  /** For a batch: to the device, and back to the server. */
  readonly featureBytes: number;
  readonly gradientBytes: number;
}

/** One way to train for one device. */
export interface SplitOption extends JointOption, LinkCodecs {
  /** Segments [0, cut) stay on the device; all of them where it needs no server. */
  readonly cut: number;
  /** What the device has behind the server's segments; null where the server has the loss. */
  readonly tail: SplitTail | null;
  /** On the device before features leave and after gradients have come, for a batch; coding included. */
  readonly forwardMs: number;
  readonly backwardMs: number;
  /** On the server, for a batch. */
  readonly stepMs: number;
  /** One way, each time that something travels. */
  readonly delayMs: number;
  /** Batches a round; the request's where absent. */
  readonly work?: number;
  /** For a batch. */
  readonly featureBytes: number;
  readonly gradientBytes: number;
  /** Parameters and optimizer state of the device's part, once a round: as they come, and as they travel home. */
  readonly weightBytes: number;
  readonly homeBytes: number;
}

/** Computing on the device, for a batch. */
export const ownMs = ({ forwardMs, tail, backwardMs }: SplitOption): number =>
  forwardMs + (tail?.ms ?? 0) + backwardMs;

/** Whether two options leave the server the same segments. */
export const isSamePart = (a: SplitOption, b: SplitOption): boolean =>
  a.cut === b.cut && a.tail?.from === b.tail?.from;
