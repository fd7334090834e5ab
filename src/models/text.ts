/** Classifiers of texts: samples are word numbers, 0 for none. */
import type { Model } from "../compile/graph.ts";
import { Network } from "./network.ts";
import { type ModelOptions, vocabularyDefault } from "./options.ts";

/**
 * Kim, "Convolutional neural networks for sentence classification", 2014. Rows of words begin small: a word that
 * training has seen a few times stays near where it began, and should not outweigh others.
 */
export function textcnn(options: ModelOptions): Model {
  const { seed, classes = 2, vocabulary = vocabularyDefault, length = 64, dropout = 0.5 } = options;
  const [width, filters] = [128, 100];
  const net = new Network("textcnn", { seed });
  const words = net.embedding("embedding", net.input([length]), vocabulary, width, { bound: 0.1 });
  const columns = net.transpose("columns", words, 0, 2, 1);
  const found = [3, 4, 5].map((kernel, i) => {
    const y = net.relu(`relus.${i}`, net.conv(`convs.${i}`, columns, filters, { kernel }));
    return net.flatten(`best.${i}`, net.op("GlobalMaxPool", `pools.${i}`, [y]));
  });
  const all = net.op("Concat", "all", found, { axis: 1 });
  return net.model(net.linear("fc", net.dropout("drop", all, dropout), classes));
}

/** A bidirectional LSTM (Graves and Schmidhuber 2005); the answer is made of the mean of its states. */
export function bilstm(options: ModelOptions): Model {
  const { seed, classes = 2, vocabulary = vocabularyDefault, length = 32, dropout = 0.5 } = options;
  const [width, hidden] = [64, 64];
  const net = new Network("bilstm", { seed });
  const words = net.embedding("embedding", net.input([length]), vocabulary, width);
  const steps = net.transpose("steps", words, 1, 0, 2);
  const bound = 1 / Math.sqrt(hidden);
  // ONNX's form: both directions in one tensor, gates in the order input, output, forget, cell.
  const parameters = [
    net.parameter("lstm.W", [2, 4 * hidden, width], { bound }),
    net.parameter("lstm.R", [2, 4 * hidden, hidden], { bound }),
    net.parameter("lstm.B", [2, 8 * hidden], { bound }),
  ];
  const attributes = { hidden_size: hidden, direction: "bidirectional" };
  const states = net.op("LSTM", "lstm", [steps, ...parameters], attributes);
  const mean = net.op("ReduceMean", "mean", [states], { axes: [0], keepdims: 0 });
  const rows = net.reshape("rows", net.transpose("batch", mean, 1, 0, 2), -1, 2 * hidden);
  return net.model(net.linear("fc", net.dropout("drop", rows, dropout), classes));
}
