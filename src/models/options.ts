/** Words that a model of texts knows where nothing is chosen. */
export const vocabularyDefault = 5000;

/** What may be chosen of a built-in model; a job's `modelOptions`. */
export interface ModelChoices {
  /** Number of classes that a classifier answers with. */
  readonly classes?: number;
  /** Channels of images or of readings. */
  readonly channels?: number;
  /** Height and width of images. */
  readonly size?: number;
  /** Share of values that dropout drops, 0 for none. */
  readonly dropout?: number;
  /** Numbers of words, users or items. */
  readonly vocabulary?: number;
  /** Words, steps or readings of one sample. */
  readonly length?: number;
  /** Channels of the narrowest hidden layer. */
  readonly width?: number;
}

/**
 * What may be chosen of a built-in model, and the seed of its initial weights. Each model takes what
 * makes sense for it and has defaults of its own; `docs/models.md` lists them.
 */
export interface ModelOptions extends ModelChoices {
  readonly seed: number;
}
