/** How fast this machine is, where others measure at the same time. */
import {
  type Job,
  loadModel,
  NativeEngine,
  type Profile,
  profileModel,
  scaledProfile,
} from "edgeloom";

/** How often it is measured. */
const measurements = 5;

/** How fast one core of this machine runs a model: the fastest time of each segment, since what else runs only slows it down. */
export async function measuredCore(job: Job): Promise<Profile> {
  const engine = new NativeEngine({ threads: 1 });
  const profiles: Profile[] = [];
  for (let i = 0; i < measurements; i++) {
    profiles.push(await profileModel(job, loadModel(job, "."), engine));
  }
  await engine.close();
  const least = (value: (profile: Profile) => number | undefined): number =>
    Math.min(...profiles.map((profile) => value(profile) ?? Infinity));
  const [first] = profiles;
  return {
    segments: (first?.segments ?? []).map((_, i) => ({
      forwardMs: least(({ segments }) => segments[i]?.forwardMs),
      backwardMs: least(({ segments }) => segments[i]?.backwardMs),
      updateMs: least(({ segments }) => segments[i]?.updateMs),
    })),
    runMs: least(({ runMs }) => runMs),
    callMs: least(({ callMs }) => callMs),
  };
}

/** A whole step by a profile. */
export const stepMs = ({ segments }: Profile): number =>
  segments.reduce((sum, one) => sum + one.forwardMs + one.backwardMs + one.updateMs, 0);

/** A small network's profile on this machine, as if a step of it took so many milliseconds, as a large one's does. */
export async function stretchedCore(job: Job, ms: number): Promise<Profile> {
  const profile = await measuredCore(job);
  const factor = ms / stepMs(profile);
  return { ...scaledProfile(profile, (own) => factor * own), runMs: 0.02, callMs: 0.05 };
}
