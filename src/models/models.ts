/** The built-in models by name. Each is a few lines in its family's file. */
import type { Model } from "../compile/graph.ts";
import { type BuiltInModelName, builtInName } from "./catalog.ts";
import { adversarialGame, dcgan, vae } from "./generative.ts";
import { Sequential } from "./layers.ts";
import { mobilenetV2, mobilenetV3Large } from "./mobilenet.ts";
import type { ModelOptions } from "./options.ts";
import { din, ncf } from "./recommendation.ts";
import { resnet } from "./resnet.ts";
import { harCnn } from "./sensors.ts";
import { bilstm, textcnn } from "./text.ts";
import { gpt, vit } from "./transformer.ts";
import { vgg } from "./vgg.ts";

/**
 * LeNet-5 (LeCun et al. 1998) as it is trained today: ReLU and max pooling. Pooling
 * comes before ReLU, which gives the same values and gradients at a quarter of the work.
 * A width other than 6 widens all layers alike; dropout, none unless asked for, comes before both last layers.
 */
function lenet5(options: ModelOptions): Model {
  const { seed, classes = 10, channels = 1, size = 28, width = 6, dropout = 0 } = options;
  const widened = (count: number): number => Math.round((count * width) / 6);
  return new Sequential("lenet5", [channels, size, size], seed)
    .conv("conv1", width, { kernel: 5, pad: 2 })
    .maxPool("pool1")
    .relu("relu1")
    .conv("conv2", widened(16), { kernel: 5 })
    .maxPool("pool2")
    .relu("relu2")
    .flatten("flatten")
    .linear("fc1", widened(120))
    .relu("relu3")
    .dropout("drop1", dropout)
    .linear("fc2", widened(84))
    .relu("relu4")
    .dropout("drop2", dropout)
    .linear("fc3", classes)
    .model();
}

/** Two hidden layers over flattened images. */
function mlp({ seed, classes = 10, channels = 1, size = 28 }: ModelOptions): Model {
  return new Sequential("mlp", [channels, size, size], seed)
    .flatten("flatten")
    .linear("fc1", 256)
    .relu("relu1")
    .linear("fc2", 128)
    .relu("relu2")
    .linear("fc3", classes)
    .model();
}

/** Six 3x3 convolutions in the manner of VGG (Simonyan and Zisserman 2015), for 32x32 colour images. */
function vggSmall({ seed, classes = 10, channels = 3, size = 32 }: ModelOptions): Model {
  const model = new Sequential("vgg-small", [channels, size, size], seed);
  [32, 64, 128].forEach((width, i) => {
    const [first, second] = [2 * i + 1, 2 * i + 2];
    model
      .conv(`conv${first}`, width, { kernel: 3, pad: 1 })
      .relu(`relu${first}`)
      .conv(`conv${second}`, width, { kernel: 3, pad: 1 })
      .maxPool(`pool${i + 1}`)
      .relu(`relu${second}`);
  });
  return model.globalAveragePool("average").flatten("flatten").linear("fc", classes).model();
}

const makers: { readonly [Name in BuiltInModelName]: (options: ModelOptions) => Model } = {
  lenet5,
  mlp,
  "vgg-small": vggSmall,
  vgg11: (options) => vgg("vgg11", options),
  vgg19: (options) => vgg("vgg19", options),
  resnet18: (options) => resnet("resnet18", options),
  resnet20: (options) => resnet("resnet20", options),
  resnet50: (options) => resnet("resnet50", options),
  mobilenetv2: mobilenetV2,
  "mobilenetv3-large": mobilenetV3Large,
  vit,
  textcnn,
  bilstm,
  gpt,
  "har-cnn": harCnn,
  ncf,
  din,
  vae,
  dcgan: adversarialGame,
  "dcgan-generator": (options) => dcgan(options).adversary,
  "dcgan-discriminator": (options) => dcgan(options).discriminator,
};

/** A built-in model with its initial weights. @throws InputError for an unknown name */
export const builtInModel = (name: string, options: ModelOptions): Model =>
  makers[builtInName(name)](options);
