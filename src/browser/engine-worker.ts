/** The Web Worker of the browser's engine: ONNX Runtime behind messages. */
import type { EngineRequest } from "../engine/messages.ts";
import { serveSessions } from "../engine/sessions.ts";
import { openRuntime, type WebRuntimeOptions } from "./runtime.ts";

/** The first message says how to compute; all later ones are requests. */
export type EngineWorkerMessage = { readonly options: WebRuntimeOptions } | EngineRequest;

/** What is used of a Web Worker's global scope. */
declare const self: {
  postMessage(message: unknown, moved: readonly ArrayBuffer[]): void;
  addEventListener(type: "message", listener: (event: { data: unknown }) => void): void;
};

let serve: ReturnType<typeof serveSessions>;

self.addEventListener("message", ({ data }) => {
  const message = data as EngineWorkerMessage;
  if ("options" in message) {
    serve = serveSessions(openRuntime(message.options), (reply, moved) =>
      self.postMessage(reply, moved),
    );
  } else void serve(message);
});
