/** The built-in models, each a few lines. */
import { InputError } from "../base/errors.ts";
import type { Model } from "../compile/graph.ts";
import { Sequential } from "./layers.ts";

/** What may be chosen of a built-in model. */
export interface ModelOptions {
  /** Seed of the initial weights. */
  readonly seed: number;
  readonly classes?: number;
}

/**
 * LeNet-5 (LeCun et al. 1998) as it is trained today: ReLU and max pooling. Pooling
 * comes before ReLU, which gives the same values and gradients at a quarter of the work.
 */
function lenet5({ seed, classes = 10 }: ModelOptions): Model {
  return new Sequential("lenet5", [1, 28, 28], seed)
    .conv("conv1", 6, { kernel: 5, pad: 2 })
    .maxPool("pool1")
    .relu("relu1")
    .conv("conv2", 16, { kernel: 5 })
    .maxPool("pool2")
    .relu("relu2")
    .flatten("flatten")
    .linear("fc1", 120)
    .relu("relu3")
    .linear("fc2", 84)
    .relu("relu4")
    .linear("fc3", classes)
    .model();
}

/** Two hidden layers over flattened 28x28 images. */
function mlp({ seed, classes = 10 }: ModelOptions): Model {
  return new Sequential("mlp", [1, 28, 28], seed)
    .flatten("flatten")
    .linear("fc1", 256)
    .relu("relu1")
    .linear("fc2", 128)
    .relu("relu2")
    .linear("fc3", classes)
    .model();
}

/** Six 3x3 convolutions in the manner of VGG (Simonyan and Zisserman 2015), for 32x32 colour images. */
function vggSmall({ seed, classes = 10 }: ModelOptions): Model {
  const model = new Sequential("vgg-small", [3, 32, 32], seed);
  [32, 64, 128].forEach((channels, i) => {
    const [first, second] = [2 * i + 1, 2 * i + 2];
    model
      .conv(`conv${first}`, channels, { kernel: 3, pad: 1 })
      .relu(`relu${first}`)
      .conv(`conv${second}`, channels, { kernel: 3, pad: 1 })
      .maxPool(`pool${i + 1}`)
      .relu(`relu${second}`);
  });
  return model.globalAveragePool("average").flatten("flatten").linear("fc", classes).model();
}

const models = { lenet5, mlp, "vgg-small": vggSmall } as const satisfies Record<
  string,
  (options: ModelOptions) => Model
>;

/** Names that {@link builtInModel} knows. */
export const builtInModelNames: readonly string[] = Object.keys(models);

/** A built-in model with its initial weights. @throws InputError for an unknown name */
export function builtInModel(name: string, options: ModelOptions): Model {
  if (!Object.hasOwn(models, name)) {
    throw new InputError({
      what: "built-in model",
      received: JSON.stringify(name),
      allowed: builtInModelNames.join(", "),
    });
  }
  return models[name as keyof typeof models](options);
}
