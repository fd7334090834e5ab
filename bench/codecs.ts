/**
 * Codecs: how fast one core encodes and decodes, in bytes of the float32 values on either side of
 * the link, how many bytes travel, and how far off the values are.
 *
 * Speed is reckoned by the processor time of the thread, so that others on the machine do not count.
 * Values are drawn: features as they are after ReLU, half of them zero, in channels of very different
 * ranges; gradients of both signs, of samples of very different sizes. Each tensor of a sequence
 * differs from the one before by a tenth, as those of a sample do from epoch to epoch.
 */
import {
  type LinkCodecName,
  linkCodecNames,
  linkWireBytes,
  openReceiver,
  openSender,
  type Tensor,
  version,
} from "edgeloom";
import { type Bench, chosenOf, countOf, type Goal, optionsOf, type Row, tell } from "./bench.ts";

interface Subject {
  readonly name: string;
  readonly shape: readonly number[];
  /** The value at a place, of a normal number drawn for it. */
  scaled(normal: number, row: number, channel: number): number;
}

const subjects: readonly Subject[] = [
  {
    name: "features 32x64x32x32",
    shape: [32, 64, 32, 32],
    scaled: (normal, _, channel) => Math.max(0, normal) * 2 ** (channel % 7),
  },
  {
    name: "gradients 32x64x32x32",
    shape: [32, 64, 32, 32],
    scaled: (normal, row) => normal * 1e-4 * 2 ** -(row % 9),
  },
  {
    name: "features 32x4096",
    shape: [32, 4096],
    scaled: (normal) => Math.max(0, normal),
  },
];

/** The bound, for the codecs of 8 bits without memory. */
const goalGBs = 1;
const held: readonly LinkCodecName[] = ["affine8", "affine8-stochastic"];

/** Tensors of a sequence, over which errors are measured. */
const length = 10;

export const codecs: Bench = {
  summary: "how fast, how small and how exact codecs are [--codecs a,b] [--megabytes N]",
  async run(args) {
    const options = optionsOf(args, { codecs: "", megabytes: "250" });
    const megabytes = countOf("--megabytes", options.megabytes);
    const names =
      options.codecs === ""
        ? linkCodecNames
        : chosenOf("--codecs", options.codecs, linkCodecNames, (name) => name);
    const rows: Row[] = [];
    const goals: Goal[] = [];
    for (const subject of subjects) {
      tell(`${subject.name} ...`);
      const sequence = drawnSequence(subject);
      for (const codec of names) {
        const { encode, decode } = speedOf(codec, sequence, megabytes);
        const bytes = linkWireBytes(codec, present(sequence[0]));
        rows.push({
          values: subject.name,
          codec,
          bytes,
          "bits a value": (8 * bytes) / countIn(subject),
          "encode GB/s": encode,
          "decode GB/s": decode,
          ...errorsOf(codec, sequence),
        });
        if (!held.includes(codec)) continue;
        for (const [way, value] of Object.entries({ encode, decode })) {
          const name = `${subject.name}: ${codec} ${way}s`;
          goals.push({ name, value, goal: goalGBs, unit: "GB/s, at least", met: value >= goalGBs });
        }
      }
    }
    const note =
      `errors are root mean squares relative to the values': of the last of ${length} tensors, and of ` +
      "the sum of all, which is what feedback keeps right";
    return { rows, goals, versions: { edgeloom: version }, seed: 1, notes: [note] };
  },
};

const countIn = ({ shape }: Subject): number => shape.reduce((count, each) => count * each, 1);

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("a sequence without tensors");
  return value;
}

/** Tensors that change by a tenth each; equal in every run. */
function drawnSequence(subject: Subject): Tensor[] {
  const { shape, scaled } = subject;
  const [rows = 1, channels = 1] = shape;
  const count = countIn(subject);
  const normal = normalNumbers(1);
  const state = Float32Array.from({ length: count }, normal);
  return Array.from({ length }, () => {
    const data = new Float32Array(count);
    for (let i = 0; i < count; i++) {
      const row = Math.floor((i * rows) / count);
      const channel = Math.floor((i * rows * channels) / count) % channels;
      state[i] = (state[i] as number) * Math.sqrt(0.99) + 0.1 * normal();
      data[i] = scaled(state[i] as number, row, channel);
    }
    return { dtype: "float32", shape, data };
  });
}

/** Sums of four uniform numbers, scaled to a variance of 1: near enough to normal, and cheap. */
function normalNumbers(seed: number): () => number {
  let state = seed;
  const uniform = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return () => (uniform() + uniform() + uniform() + uniform() - 2) * Math.sqrt(3);
}

/**
 * Speeds in 10^9 bytes of float32 a second of the thread's processor time. That is counted in steps of
 * some milliseconds, so it is taken once around as many tensors as take long enough.
 */
function speedOf(
  codec: LinkCodecName,
  sequence: readonly Tensor[],
  megabytes: number,
): { encode: number; decode: number } {
  const type = present(sequence[0]);
  const [sender, receiver] = [openSender(codec, type), openReceiver(codec, type)];
  const bytes = 4 * (type.data?.length ?? 0);
  const count = Math.ceil((megabytes * 1e6) / bytes);
  const sent: (readonly Tensor[])[] = [];
  // What comes first lets the compiler see what it has to compile, and does not count.
  const warm = Math.ceil(count / 4);
  let [encodeMs, decodeMs] = [threadMs(), 0];
  for (let seed = 0; seed < warm + count; seed++) {
    if (seed === warm) encodeMs = threadMs();
    sent.push(sender.encode(present(sequence[seed % length]), { seed, samples: null }));
  }
  encodeMs = threadMs() - encodeMs;
  for (const [i, parts] of sent.entries()) {
    if (i === warm) decodeMs = threadMs();
    receiver.decode(parts);
  }
  decodeMs = threadMs() - decodeMs;
  const speed = (ms: number): number => (count * bytes) / 1e6 / ms;
  return { encode: speed(encodeMs), decode: speed(decodeMs) };
}

function threadMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1e3;
}

/** How far off what comes over is. */
function errorsOf(codec: LinkCodecName, sequence: readonly Tensor[]): Row {
  const type = present(sequence[0]);
  const [sender, receiver] = [openSender(codec, type), openReceiver(codec, type)];
  const count = type.data?.length ?? 0;
  const sums = { sent: new Float64Array(count), come: new Float64Array(count) };
  let last = 0;
  for (const [seed, value] of sequence.entries()) {
    const parts = sender.encode(value, { seed, samples: null });
    const [sent, come] = [value, receiver.decode(parts)].map((each) => each?.data as Float32Array);
    if (sent === undefined || come === undefined) throw new Error(`${codec} does not decode`);
    last = relativeError(come, sent);
    for (let i = 0; i < count; i++) {
      (sums.sent[i] as number) += sent[i] as number;
      (sums.come[i] as number) += come[i] as number;
    }
  }
  return { error: last, "error of the sum": relativeError(sums.come, sums.sent) };
}

function relativeError(values: ArrayLike<number>, truth: ArrayLike<number>): number {
  let [off, all] = [0, 0];
  for (let i = 0; i < truth.length; i++) {
    off += ((values[i] as number) - (truth[i] as number)) ** 2;
    all += (truth[i] as number) ** 2;
  }
  return Math.sqrt(off / all);
}
