/** What the benchmark of a server's memory and its child processes agree on. */

/** Shape of the samples, and how many are a batch. */
export const sampleShape = { features: 64, classes: 10, batch: 16 } as const;

/** What a child is. */
export type MemoryTask =
  | {
      readonly kind: "server";
      readonly url: string;
      readonly token: string;
      readonly name: string;
    }
  | { readonly kind: "devices"; readonly url: string; readonly tokens: readonly string[] };
