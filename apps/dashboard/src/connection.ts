/** The live run: an observer over the browser's WebSocket, feeding a model that the views draw. */
import { type Signal, signal } from "@preact/signals";
import { Observer, type ObserverState, type ObserverWorld, type TextLink } from "edgeloom";
import { RunModel } from "./run-model.ts";

const webSocketWorld = (url: string): ObserverWorld => ({
  connect(onOpen) {
    const socket = new WebSocket(url);
    const link: TextLink = {
      send: (text) => socket.send(text),
      close: () => socket.close(),
      get pendingBytes() {
        return socket.bufferedAmount;
      },
      onText: () => {},
      onClose: () => {},
    };
    socket.onopen = onOpen;
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") link.onText(data);
    };
    socket.onclose = () => link.onClose();
    return link;
  },
  after(delayMs, fire) {
    const timer = setTimeout(fire, delayMs);
    return () => clearTimeout(timer);
  },
});

/** How the page stands with the server, and since when. */
export interface Connection {
  readonly state: ObserverState;
  /** Page time of the change, for counting down. */
  readonly sinceMs: number;
}

export interface LiveRun {
  readonly connection: Signal<Connection>;
  /** Null until the server has told which run it is. */
  readonly model: Signal<RunModel | null>;
  close(): void;
}

/** Follows the run of the server that this page came from. */
export function followLive(token: string): LiveRun {
  const connection = signal<Connection>({ state: { kind: "connecting" }, sinceMs: 0 });
  const model = signal<RunModel | null>(null);
  const url = new URL("observe", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  const observer = new Observer(webSocketWorld(url.href), token, {
    onRun(run) {
      model.value = new RunModel(run);
    },
    onRecords(records) {
      model.peek()?.add(records);
      const notes = observer.notes;
      const shown = model.peek()?.notes;
      if (shown !== undefined && notes.join() !== shown.peek().join()) shown.value = notes;
    },
    onState(state) {
      // Trying again shows as "lost" until it succeeds: two texts in turn would flicker.
      const wasLost = connection.peek().state.kind === "lost";
      if (state.kind === "connecting" && wasLost) return;
      model.peek()?.flush();
      connection.value = { state, sinceMs: performance.now() };
    },
  });
  return { connection, model, close: () => observer.close() };
}
