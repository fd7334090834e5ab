/** What training its part of the model takes of a device's memory, by how it is split. */
import { present } from "../base/assert.ts";
import type { LinkCodecName } from "../codec/link-codec.ts";
import { keepsBase } from "./home-bytes.ts";
import { rememberedBytes, trainingBytes } from "./memory.ts";
import type { PlanRequest } from "./plan.ts";
import type { SplitOption } from "./split-option.ts";

/** Asked for thousands of options, so what a cut takes is counted once. */
export class DeviceMemory {
  readonly #request: PlanRequest;
  /** By cut: of what is before it, and of what is behind. */
  readonly #before = new Map<number, number>();
  readonly #behind = new Map<number, number>();
  readonly #remembered = new Map<LinkCodecName, Map<number, number>>();

  constructor(request: PlanRequest) {
    this.#request = request;
  }

  /** Bytes that training its part takes on a device, with what codecs remember of it. */
  bytesOf({ cut, tail, codecUp }: Pick<SplitOption, "cut" | "tail" | "codecUp">): number {
    const { segments } = this.#request;
    const before = kept(this.#before, cut, () => this.#training(0, cut));
    const remembered = kept(this.#remembered, codecUp, () => new Map<number, number>());
    const codec = { codec: codecUp, samples: this.#request.codecSamples ?? null };
    const bytes = before + kept(remembered, cut, () => rememberedBytes(segments, cut, codec));
    if (tail === null) return bytes;
    return bytes + kept(this.#behind, tail.from, () => this.#training(tail.from, segments.length));
  }

  #training(from: number, to: number): number {
    const { segments, recompute } = this.#request;
    const isKept = keepsBase(this.#request);
    return trainingBytes(segments, from, to, {
      ...{ hasLoss: to === segments.length, recompute, keepsBase: isKept },
    });
  }
}

function kept<K, V>(known: Map<K, V>, key: K, make: () => V): V {
  if (!known.has(key)) known.set(key, make());
  return present(known.get(key), "what was just kept");
}
