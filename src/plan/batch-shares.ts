/**
 * How many batches each device trains in a round, so that a round draws from all data alike: in proportion
 * to its samples. Then a server copy that sees the batches of all devices sees each sample as often as any
 * other, which equal numbers do not give where devices hold unequally much ("Parallel split learning with
 * global sampling", Kohankhaki et al., 2024, draws a batch of all data at once; here whole batches are dealt out).
 */

/**
 * Batches for each device: as many in all as with `mean` for each, but for rounding; at least one update for each.
 * @param samples of each device, above 0
 * @param mean batches of a device on average
 * @param accumulate batches to an update, which every device trains whole
 */
export function batchesBySamples(
  samples: readonly number[],
  { mean, accumulate }: { readonly mean: number; readonly accumulate: number },
): number[] {
  const total = samples.reduce((sum, own) => sum + own, 0);
  const updates = (mean * samples.length) / accumulate;
  return samples.map((own) => accumulate * Math.max(1, Math.round((updates * own) / total)));
}
