/** What may be chosen of a built-in model. Each model takes what makes sense for it and has defaults of its own. */
export interface ModelOptions {
  /** Seed of the initial weights. */
  readonly seed: number;
  /** Number of classes that a classifier answers with; 10 where absent. */
  readonly classes?: number;
  /** Channels of images, 3 where absent (1 for lenet5 and mlp). */
  readonly channels?: number;
  /** Height and width of images: 32 where absent (28 for lenet5 and mlp). */
  readonly size?: number;
  /** Share of values that dropout drops; each model's own where absent, 0 for none. */
  readonly dropout?: number;
  /** Numbers of words, users or items; each model's own where absent. */
  readonly vocabulary?: number;
  /** Words, steps or readings of one sample; each model's own where absent. */
  readonly length?: number;
}
