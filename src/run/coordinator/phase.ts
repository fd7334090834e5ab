/** What a coordinator is doing (types only). */
import type { Farewell } from "./farewell.ts";

/** What it waits for decides what it does next. */
export type Phase =
  | { readonly kind: "gathering" }
  | { readonly kind: "probing" }
  | { readonly kind: "planned" }
  | { readonly kind: "round" }
  | { readonly kind: "evaluating" }
  /** The journal has not confirmed a decision yet. */
  | { readonly kind: "writing" }
  | { readonly kind: "ending"; readonly farewell: Farewell };
