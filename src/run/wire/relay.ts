/**
 * Passing frames on. What waits for a slow target keeps its credit back, so its sender waits too and
 * the relay holds little. But a sender that feeds many targets, as an edge server does, would then wait
 * for the slowest of them: its frames come over one link, and a few that wait fill the window. So the
 * first frame that waits for each target counts as consumed at once. Who sends one batch after the
 * other to each of its targets is held up by none of them; what the relay holds of a sender is a
 * window, and a frame for each target (rule W8 of `docs/protocol.md`).
 */
import type { Frame } from "../host.ts";
import type { Channel } from "./channel.ts";
import type { Message } from "./messages.ts";

export class Relay<M extends Message> {
  /** By sender, the targets that a frame waits for although it counts as consumed. */
  readonly #ahead = new WeakMap<Channel<M>, Set<Channel<M>>>();

  /** Passes a frame on; to be called while it is handed over. */
  pass(frame: Frame, from: Channel<M>, to: Channel<M>): void {
    const targets = this.#ahead.get(from) ?? new Set();
    this.#ahead.set(from, targets);
    if (targets.has(to)) return to.forward(frame, { onGone: from.hold(frame) });
    targets.add(to);
    to.forward(frame, { onGone: () => targets.delete(to) });
  }
}
