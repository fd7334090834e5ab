/**
 * What the codecs of a node's links remember from round to round. It stays here while the coordinator says so, and comes
 * with a round's begin where the stage is new here, or where the round before came to nothing.
 */
import { present } from "../../base/assert.ts";
import { InputError } from "../../base/errors.ts";
import type { Tensor } from "../../base/tensor.ts";
import { RowMemory, type SavedRows } from "../../codec/row-memory.ts";
import type { Port } from "../../compile/program.ts";
import {
  isKeysAlone,
  type LinkEnd,
  type Memories,
  type MemoryRules,
  memoryName,
  putMemory,
  roomFor,
} from "../link-memory.ts";

/** An end at a stage, with what crosses its border. */
export interface StageEnd {
  readonly end: LinkEnd;
  readonly ports: readonly Port[];
}

/** Stages of one chain on a node. */
interface RememberingStages {
  readonly ends: readonly StageEnd[];
  readonly rules: MemoryRules;
}

export class LinkMemories {
  /** By chain, and by name of the end and the place of its tensor. */
  #memories = new Map<string, Map<string, RowMemory>>();

  /** Forgets what belongs to other chains than these. */
  retain(chains: ReadonlySet<string>): void {
    this.#memories = new Map([...this.#memories].filter(([chain]) => chains.has(chain)));
  }

  /**
   * A chain begins its round with what has come, in place of what there was; what has not come begins anew.
   * @returns the name of a memory that does not fit; null where all is well
   */
  begin(chain: string, { ends, rules }: RememberingStages, came: Memories): string | null {
    const own = new Map<string, RowMemory>();
    for (const { end, ports } of ends) {
      for (const [place, port] of ports.entries()) {
        const name = memoryName(end, place);
        const { rowLength, capacity } = roomFor(end, port, rules);
        const memory = new RowMemory(rowLength, capacity);
        if (!isRestored(memory, came.get(name))) return name;
        own.set(name, memory);
      }
    }
    this.#memories.set(chain, own);
    return null;
  }

  /** What an end remembers of the tensor at a place of its border. */
  of(end: LinkEnd, place: number): RowMemory {
    const name = memoryName(end, place);
    return present(this.#memories.get(end.chain)?.get(name), name);
  }

  /** What a stage's ends have come to since this was called last: what brings it home. */
  take(ends: readonly StageEnd[]): Map<string, Tensor> {
    const out = new Map<string, Tensor>();
    for (const { end, ports } of ends) {
      for (const place of ports.keys()) {
        const memory = this.of(end, place);
        const used = memory.takeUsed(!isKeysAlone(end));
        if (used.get("keys")?.shape[0] !== 0) putMemory(out, memoryName(end, place), used);
      }
    }
    return out;
  }
}

function isRestored(memory: RowMemory, saved: SavedRows | undefined): boolean {
  if (saved === undefined) return true;
  try {
    memory.restore(saved);
    return true;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return false;
  }
}
