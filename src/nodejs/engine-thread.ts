/** The thread of the native engine: ONNX Runtime on the CPU behind a message port. */
import { parentPort, workerData } from "node:worker_threads";
import type { InferenceSession, Tensor } from "onnxruntime-node";
import { present } from "../base/assert.ts";
import { EdgeloomError, messageOf } from "../base/errors.ts";
import type { EngineRequest } from "../engine/messages.ts";
import { type OrtRuntime, serveSessions, sessionOptions } from "../engine/sessions.ts";

/** `workerData` of the thread. */
export interface EngineThreadOptions {
  readonly threads: number;
}

async function openRuntime({ threads }: EngineThreadOptions): Promise<OrtRuntime> {
  const ort = await import("onnxruntime-node").catch((error: unknown) => {
    throw new EdgeloomError(`onnxruntime-node cannot be loaded: ${messageOf(error)}`);
  });
  const options: InferenceSession.SessionOptions = {
    ...sessionOptions,
    executionProviders: ["cpu"],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
  };
  return {
    createSession: (bytes) => ort.InferenceSession.create(bytes, options),
    createTensor: ({ dtype, shape, data }) => new ort.Tensor(dtype, data as Tensor.DataType, shape),
    settle: async () => {},
    now: () => performance.now(),
  };
}

const port = present(parentPort, "the port to the engine");
const serve = serveSessions(openRuntime(workerData as EngineThreadOptions), (reply, moved) =>
  port.postMessage(reply, moved),
);
port.on("message", async (request: EngineRequest) => {
  await serve(request);
  // Without its port, the thread ends.
  if (request.command.type === "close") port.close();
});
