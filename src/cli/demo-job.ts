/** The demo's job: what a newcomer would write in job.yaml, as data. */
export const demoJob = {
  name: "demo",
  model: "lenet5",
  data: "mnist",
  optimizer: { kind: "sgd", learningRate: 0.05, momentum: 0.9, schedule: "cosine" },
  batch: 32,
  rounds: 45,
  localBatches: 12,
  planner: "parallel-split",
  codec: { up: "float16", down: "float16" },
  evaluate: { every: 10, samples: 2000 },
  partition: { alpha: 0.5 },
  fleet: {
    cellMbit: 200,
    devices: [
      { name: "device-1", duty: 1, ceilingMbit: 100 },
      { name: "device-2", duty: 0.25, ceilingMbit: 100 },
      { name: "device-3", duty: 0.125, ceilingMbit: 100 },
      { name: "device-4", duty: 0.0625, ceilingMbit: 100 },
    ],
  },
};
