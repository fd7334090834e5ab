/**
 * What is known of the built-in models before one is made: the loss that each is for, the
 * options that it takes, and which of them fit given data. Jobs are checked with it.
 */
import { InputError } from "../base/errors.ts";
import type { LossName } from "../compile/loss.ts";
import type { ModelChoices } from "./options.ts";

/** One option's name. */
export type ModelChoice = keyof ModelChoices;

interface Entry {
  readonly loss: LossName;
  readonly options: readonly ModelChoice[];
  /** The options for samples of this shape; null where no options make it fit. */
  fitted(inputShape: readonly number[]): ModelChoices | null;
}

const entropy = "softmax-cross-entropy";
const binary = "binary-cross-entropy";

/** Samples are square images [channels, size, size]. */
function fitImage([channels, size, width, ...rest]: readonly number[]): ModelChoices | null {
  if (channels === undefined || size === undefined || size !== width) return null;
  return rest.length > 0 ? null : { channels, size };
}

/** Samples are rows of numbers, so many as `length` and `more` say. */
const fitRow =
  (more = 0) =>
  ([length, ...rest]: readonly number[]): ModelChoices | null =>
    length === undefined || length <= more || rest.length > 0 ? null : { length: length - more };

const images = (...more: ModelChoice[]): Entry => ({
  loss: entropy,
  options: ["classes", "channels", "size", ...more],
  fitted: fitImage,
});

const texts: Entry = {
  loss: entropy,
  options: ["classes", "vocabulary", "length", "dropout"],
  fitted: fitRow(),
};

const catalog = {
  lenet5: images("dropout", "width"),
  mlp: images(),
  "vgg-small": images(),
  vgg11: images("dropout"),
  vgg19: images("dropout"),
  resnet18: images(),
  resnet20: images(),
  resnet50: images(),
  mobilenetv2: images("dropout", "width"),
  "mobilenetv3-large": images("dropout"),
  vit: images("dropout"),
  textcnn: texts,
  bilstm: texts,
  gpt: { loss: entropy, options: ["vocabulary", "length", "dropout"], fitted: fitRow() },
  "har-cnn": {
    loss: entropy,
    options: ["classes", "channels", "length", "dropout"],
    fitted([channels, length, ...rest]) {
      if (channels === undefined || length === undefined || rest.length > 0) return null;
      return { channels, length };
    },
  },
  ncf: { loss: binary, options: ["vocabulary"], fitted: () => null },
  din: { loss: binary, options: ["vocabulary", "length"], fitted: fitRow(1) },
  vae: { loss: "mean-output", options: ["channels", "size"], fitted: fitImage },
  dcgan: {
    loss: "mean-output",
    options: ["channels", "size", "width"],
    fitted(inputShape) {
      const fitting = fitImage(inputShape);
      const { size = 0 } = fitting ?? {};
      return size % 2 === 0 && size >= 10 && size <= 32 ? fitting : null;
    },
  },
  "dcgan-generator": { loss: binary, options: ["channels", "width"], fitted: () => null },
  "dcgan-discriminator": {
    loss: binary,
    options: ["channels", "width"],
    fitted([channels, ...sides]) {
      return channels !== undefined && sides.join() === "32,32" ? { channels } : null;
    },
  },
} as const satisfies Record<string, Entry>;

/** Name of a built-in model. */
export type BuiltInModelName = keyof typeof catalog;

/** Names of all built-in models. */
export const builtInModelNames = Object.keys(catalog) as readonly BuiltInModelName[];

/** Whether a model is built in. */
export const isBuiltIn = (name: string): name is BuiltInModelName => Object.hasOwn(catalog, name);

/** A name that is known to be one. @throws InputError for an unknown name */
export function builtInName(name: string): BuiltInModelName {
  if (isBuiltIn(name)) return name;
  throw new InputError({
    what: "built-in model",
    received: JSON.stringify(name),
    allowed: builtInModelNames.join(", "),
  });
}

/** The loss that a built-in model is made for. @throws InputError for an unknown name */
export const builtInLoss = (name: string): LossName => catalog[builtInName(name)].loss;

/** The options that a built-in model takes. @throws InputError for an unknown name */
export const builtInOptions = (name: string): readonly ModelChoice[] =>
  catalog[builtInName(name)].options;

/**
 * Checks that a model takes these options; a model that is a file takes none.
 * @param locate says where an option stands, or with null where all of them do
 * @throws InputError naming the option and those that the model takes
 */
export function checkModelOptions(
  name: string,
  choices: ModelChoices,
  locate: (option: string | null) => string | undefined = () => undefined,
): void {
  const [first] = Object.keys(choices);
  if (first === undefined) return;
  if (!isBuiltIn(name)) {
    throw problem("modelOptions", {
      received: `${JSON.stringify(choices)} for ${name}`,
      allowed: "none: only built-in models have options",
      where: locate(null),
    });
  }
  const options = builtInOptions(name);
  for (const [option, value] of Object.entries(choices)) {
    if (options.includes(option as ModelChoice)) continue;
    throw problem(`modelOptions.${option}`, {
      received: `${value} for ${name}`,
      allowed: `${options.join(", ")}: ${name} has no other options`,
      where: locate(option),
    });
  }
}

const problem = (
  what: string,
  { where, ...rest }: { received: string; allowed: string; where: string | undefined },
): InputError => new InputError({ what, ...rest, ...(where === undefined ? {} : { where }) });

/** What a model must fit. */
export interface DataShape {
  /** One sample's shape. */
  readonly inputShape: readonly number[];
  readonly classes: number;
}

/**
 * The options with which a built-in model takes such samples; null where none make it fit, or the
 * name is no built-in model's.
 */
export function fittingOptions(name: string, data: DataShape): ModelChoices | null {
  if (!isBuiltIn(name)) return null;
  const { options, fitted }: Entry = catalog[name];
  const fitting = fitted(data.inputShape);
  if (fitting === null) return null;
  return options.includes("classes") ? { ...fitting, classes: data.classes } : fitting;
}

/** {@link fittingOptions} as the end of a message about data that do not fit; empty where none do. */
export function fitAdvice(name: string, data: DataShape): string {
  const fitting = fittingOptions(name, data);
  if (fitting === null) return "";
  const words = Object.entries(fitting).map(([option, value]) => `${option}: ${value}`);
  return ` (the job may say modelOptions: { ${words.join(", ")} })`;
}
