/** Classifiers of readings over time. */
import type { Model } from "../compile/graph.ts";
import { Network } from "./network.ts";
import type { ModelOptions } from "./options.ts";

/** Human activity from windows of inertial readings, [9 channels, 128 readings] as in UCI HAR. */
export function harCnn(options: ModelOptions): Model {
  const { seed, classes = 6, channels = 9, length = 128, dropout = 0.5 } = options;
  const net = new Network("har-cnn", { seed });
  let x = net.input([channels, length]);
  for (const [i, width] of [64, 64, 128].entries()) {
    x = net.conv(`conv${i + 1}`, x, width, { kernel: 5, pad: 2 });
    x = net.relu(`relu${i + 1}`, net.batchNorm(`bn${i + 1}`, x));
    x = net.maxPool(`pool${i + 1}`, x, 2);
  }
  x = net.dropout("drop", net.flatten("flatten", net.globalAveragePool("mean", x)), dropout);
  return net.model(net.linear("fc", x, classes));
}
