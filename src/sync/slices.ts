/**
 * The entries of several tensors, behind one another, cut into as many slices as there are members or turns: of about
 * equal length, in order, whatever the borders between tensors.
 */

/** Of one tensor the entries that are in a slice. */
export interface Slice {
  readonly from: number;
  readonly to: number;
}

/**
 * Of each tensor what is in one of several slices.
 * @param counts entries of each tensor
 * @param place of the slice, from 0
 */
export function sliceAt(counts: readonly number[], slices: number, place: number): Slice[] {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const [first, end] = [place, place + 1].map((at) => Math.floor((at * total) / slices)) as [
    number,
    number,
  ];
  let before = 0;
  return counts.map((count) => {
    const within = (at: number): number => Math.min(count, Math.max(0, at - before));
    const slice = { from: within(first), to: within(end) };
    before += count;
    return slice;
  });
}

/** The entries of tensors that are in a slice of each, in the same memory. */
export const viewsOf = (tensors: readonly Float32Array[], slices: readonly Slice[]) =>
  tensors.map((tensor, i) => {
    const { from, to } = slices[i] as Slice;
    return tensor.subarray(from, to);
  });

export const lengthOf = ({ from, to }: Slice): number => to - from;
