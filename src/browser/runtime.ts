/** onnxruntime-web, made ready for {@link serveSessions} in WebAssembly or on WebGPU. */
import type { InferenceSession, Tensor } from "onnxruntime-web";
import { EdgeloomError, messageOf } from "../base/errors.ts";
import { elementCount } from "../base/tensor.ts";
import type { GraphNode } from "../compile/graph.ts";
import type { Port, Program } from "../compile/program.ts";
import { type OrtRuntime, sessionOptions } from "../engine/sessions.ts";

/** How to compute. Plain data: it travels to the worker. */
export interface WebRuntimeOptions {
  readonly backend: "wasm" | "webgpu";
  readonly threads: number;
  readonly wasmPaths: string | null;
}

// What is used of WebGPU: this file is also type-checked where there is none, by tests.
interface Device {
  readonly queue: { onSubmittedWorkDone(): Promise<unknown> };
}
declare const navigator: { readonly gpu?: { requestAdapter(): Promise<unknown> } };

/** @throws EdgeloomError where onnxruntime-web cannot be loaded, or WebGPU is not there */
export async function openRuntime(options: WebRuntimeOptions): Promise<OrtRuntime> {
  const { backend, threads, wasmPaths } = options;
  const isGpu = backend === "webgpu";
  if (isGpu && !(await navigator.gpu?.requestAdapter())) {
    throw new EdgeloomError("WebGPU is not available here");
  }
  // Two builds, so that who needs no WebGPU loads half as much.
  const loading = isGpu ? import("onnxruntime-web/webgpu") : import("onnxruntime-web/wasm");
  const ort = await loading.catch((error: unknown) => {
    throw new EdgeloomError(`onnxruntime-web cannot be loaded: ${messageOf(error)}`);
  });
  ort.env.wasm.numThreads = threads;
  if (wasmPaths !== null) ort.env.wasm.wasmPaths = wasmPaths;
  // What it has to say about operators that fall back to WebAssembly is known.
  ort.env.logLevel = "error";
  return {
    createSession: (bytes, program) =>
      ort.InferenceSession.create(bytes, {
        ...sessionOptions,
        ...(isGpu ? gpuOptions(program) : { executionProviders: ["wasm"] }),
      }),
    createTensor: ({ dtype, shape, data }) => new ort.Tensor(dtype, data as Tensor.DataType, shape),
    async settle() {
      // ONNX Runtime makes its device with the first session.
      if (isGpu) await ((await ort.env.webgpu.device) as Device).queue.onSubmittedWorkDone();
    },
    now: () => performance.now(),
  };
}

/** How a program is computed on WebGPU, as far as version 1.30 can be trusted with it. */
function gpuOptions({ graph, outputs }: Program): InferenceSession.SessionOptions {
  const isLeftOut = ({ op, outputs }: GraphNode): boolean =>
    // The one kernel takes exponentials of values as they are, which are infinite soon; the
    // other knows no indices, and says so only when it runs.
    op === "ReduceLogSumExp" || (op === "MaxPool" && outputs.length > 1);
  const leftOut = graph.nodes.filter(isLeftOut).map(({ name }) => name);
  // With channels last, some convolutions give wrong values: from 6 channels to 16, for one.
  const provider = { name: "webgpu", preferredLayout: "NCHW" } as const;
  // Weights, features and gradients stay on the GPU, where the next run needs them. Scalars,
  // as the loss, are only read, and kernels give few other element types.
  const isKept = ({ dtype, shape }: Port): boolean =>
    dtype === "float32" && elementCount(shape) > 1;
  return {
    // An empty list is an error.
    executionProviders: [
      leftOut.length === 0 ? provider : { ...provider, forceCpuNodeNames: leftOut },
    ],
    preferredOutputLocation: Object.fromEntries(
      outputs.map((port) => [port.name, isKept(port) ? "gpu-buffer" : "cpu"]),
    ),
  };
}
