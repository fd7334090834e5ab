/**
 * One training step after another of a convolutional network in jax-js (WebAssembly) or
 * TensorFlow.js (plain JavaScript), on made-up images. Arguments: library, model, batch, steps.
 * Prints the milliseconds of each step as a JSON list.
 */
const [library, model, batchText, stepsText] = process.argv.slice(2);
const [batch, steps] = [Number(batchText), Number(stepsText)];

/** Layers of a network: [kind, size, kernel, padding]. */
const conv = (channels, kernel = 3, pad = 1) => ["conv", channels, kernel, pad];
const networks = {
  lenet5: {
    shape: [1, 28, 28],
    layers: [
      conv(6, 5, 2),
      ["pool"],
      ["relu"],
      conv(16, 5, 0),
      ["pool"],
      ["relu"],
      ["flat"],
      ["dense", 120],
      ["relu"],
      ["dense", 84],
      ["relu"],
      ["dense", 10],
    ],
  },
  vgg11: {
    shape: [3, 32, 32],
    layers: [
      ...[64, null, 128, null, 256, 256, null, 512, 512, null, 512, 512, null].flatMap((width) =>
        width === null ? [["pool"]] : [conv(width), ["relu"]],
      ),
      ["flat"],
      ["dense", 10],
    ],
  },
};

const { shape, layers } = networks[model];
const images = Float32Array.from(
  { length: batch * shape.reduce((a, b) => a * b) },
  (_, i) => ((i * 7919) % 251) / 251,
);
const labels = Int32Array.from({ length: batch }, (_, i) => i % 10);
const rate = 0.001;
const momentum = 0.9;

/** Shapes of weights and biases, layer by layer. */
function parameterShapes() {
  let [channels, side] = shape;
  let width = 0;
  const shapes = [];
  for (const [kind, size, kernel, pad] of layers) {
    if (kind === "conv") {
      shapes.push([size, channels, kernel, kernel], [size]);
      [channels, side] = [size, side + 2 * pad - kernel + 1];
    } else if (kind === "pool") side = side / 2;
    else if (kind === "flat") width = channels * side * side;
    else if (kind === "dense") {
      shapes.push([width, size], [size]);
      width = size;
    }
  }
  return shapes;
}

const initial = parameterShapes().map((dims) => {
  const size = dims.reduce((a, b) => a * b);
  const bound = 1 / Math.sqrt(size / dims[0]);
  const values = Float32Array.from(
    { length: size },
    (_, i) => bound * (((i * 104729) % 997) / 498 - 1),
  );
  return { dims, values };
});

async function jaxStepper() {
  const {
    init,
    defaultDevice,
    numpy: np,
    lax,
    nn,
    jit,
    valueAndGrad,
    blockUntilReady,
  } = await import("@jax-js/jax");
  await init("wasm");
  defaultDevice("wasm");
  const x = np.array(images).reshape([batch, ...shape]);
  const truth = nn.oneHot(np.array(labels, { dtype: np.int32 }), 10);
  function loss(weights, input, target) {
    let y = input;
    let at = 0;
    for (const [kind, , , pad] of layers) {
      if (kind === "conv") {
        const padding = [
          [pad, pad],
          [pad, pad],
        ];
        y = lax.convGeneralDilated(y, weights[at++], [1, 1], padding);
        y = y.add(weights[at++].reshape([1, -1, 1, 1]));
      } else if (kind === "pool") {
        const [n, c, h, w] = y.shape;
        y = np.max(y.reshape([n, c, h / 2, 2, w / 2, 2]), [3, 5]);
      } else if (kind === "relu") y = nn.relu(y);
      else if (kind === "flat") y = y.reshape([batch, -1]);
      else y = np.matmul(y, weights[at++]).add(weights[at++]);
    }
    return np.sum(nn.logSoftmax(y).mul(target)).mul(-1 / batch);
  }
  const gradient = valueAndGrad(loss);
  const update = jit((weights, speeds, input, target) => {
    const [value, gradients] = gradient(
      weights.map((w) => w.ref),
      input,
      target,
    );
    const moved = speeds.map((v, i) => v.mul(momentum).add(gradients[i]));
    const next = weights.map((w, i) => w.sub(moved[i].ref.mul(rate)));
    return [value, next, moved];
  });
  let weights = initial.map(({ dims, values }) => np.array(values).reshape(dims));
  let speeds = initial.map(({ dims }) => np.zeros(dims));
  return async () => {
    let value;
    [value, weights, speeds] = update(weights, speeds, x.ref, truth.ref);
    await blockUntilReady([value.ref, weights.map((w) => w.ref)]);
    return Number(value.js());
  };
}

async function tensorflowStepper() {
  const tf = await import("@tensorflow/tfjs");
  await tf.setBackend("cpu");
  const x = tf.tensor(images, [batch, ...shape]).transpose([0, 2, 3, 1]);
  const truth = tf.oneHot(tf.tensor1d(labels, "int32"), 10);
  const weights = initial.map(({ dims, values }) => {
    const value = tf.tensor(values, dims);
    return tf.variable(dims.length === 4 ? value.transpose([2, 3, 1, 0]) : value);
  });
  const optimizer = tf.train.momentum(rate, momentum);
  const forward = () => {
    let y = x;
    let at = 0;
    for (const [kind, , , pad] of layers) {
      if (kind === "conv") y = tf.conv2d(y, weights[at++], 1, pad).add(weights[at++]);
      else if (kind === "pool") y = tf.maxPool(y, 2, 2, 0);
      else if (kind === "relu") y = tf.relu(y);
      else if (kind === "flat") y = y.reshape([batch, -1]);
      else y = y.matMul(weights[at++]).add(weights[at++]);
    }
    return tf.losses.softmaxCrossEntropy(truth, y);
  };
  return async () => {
    const value = optimizer.minimize(forward, true);
    return (await value.data())[0];
  };
}

const step = await (library === "jax-js" ? jaxStepper() : tensorflowStepper());
const times = [];
for (let i = 0; i < steps; i++) {
  const started = performance.now();
  const loss = await step();
  times.push(performance.now() - started);
  if (!Number.isFinite(loss)) throw new Error(`the loss is ${loss}`);
}
console.log(JSON.stringify(times));
