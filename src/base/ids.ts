/**
 * Branded string ids: a `NodeId` cannot be passed where a `ChainId` is meant.
 * At runtime they are plain strings, so they travel in messages as they are.
 */

declare const brand: unique symbol;
type Id<Name extends string> = string & { readonly [brand]: Name };

/** What nodes and jobs may be called: part of ids and paths, and printed on terminals. */
export const namePattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/** A machine of the fleet. */
export type NodeId = Id<"node">;
/** One training run; also the name of its folder. */
export type RunId = Id<"run">;
/** One flow of batches through stages. */
export type ChainId = Id<"chain">;
/** One instance of some segments' weights. */
export type CopyId = Id<"copy">;

export const nodeId = (text: string): NodeId => text as NodeId;
export const runId = (text: string): RunId => text as RunId;
export const chainId = (text: string): ChainId => text as ChainId;
export const copyId = (text: string): CopyId => text as CopyId;
