/**
 * The command line. Every command parses its flags here and calls one function
 * of `commands/`; exit codes are decided here and nowhere else:
 * 0 done, 1 failed while running, 2 wrong input or usage, 130 interrupted.
 */
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { EdgeloomError, type EnergyLimit, lossNames, messageOf, namePattern } from "../index.ts";
import { defaultTokenDays } from "../nodejs/default-token-days.ts";
import { version } from "../nodejs/environment.ts";
import { exitCodes } from "./exit.ts";
import { fail } from "./terminal.ts";

const port = (text: string): number => numberBetween(text, 1, 65535, true);
const duty = (text: string): number => numberBetween(text, 0.001, 1, false);
const share = (text: string): number => numberBetween(text, 0, 0.999, false);
const bound = (text: string): number => numberBetween(text, 0, 1, false);
const positive = (text: string): number => numberBetween(text, 1e-9, Number.MAX_VALUE, false);
const count = (text: string): number => numberBetween(text, 1, 1e9, true);
function nodeName(text: string): string {
  if (namePattern.test(text)) return text;
  throw new InvalidArgumentError(
    "It must be 1 to 64 letters, digits, _ . - and begin with a letter or digit.",
  );
}

const names = (text: string): string[] => text.split(",").map((name) => name.trim());
const sizes = (text: string): number[] => text.split(",").map(count);
const columns = (text: string): number[] =>
  text.split(",").map((part) => numberBetween(part, 0, 2 ** 31, true));
const integer = (text: string): number => numberBetween(text, -(2 ** 31), 2 ** 32, true);

function energy(text: string): EnergyLimit {
  const [watts, joulesPerMB, joulesPerRound, ...more] = text.split(",").map(Number);
  const isSound =
    more.length === 0 &&
    Number(watts) > 0 &&
    Number(joulesPerMB) >= 0 &&
    Number(joulesPerRound) > 0 &&
    Number.isFinite(Number(watts) + Number(joulesPerMB) + Number(joulesPerRound));
  if (!isSound) throw new InvalidArgumentError("It must be three numbers, 4,0.2,50 say.");
  return {
    computeWatts: Number(watts),
    joulesPerByte: Number(joulesPerMB) / 1e6,
    joulesPerRound: Number(joulesPerRound),
  };
}

function numberBetween(text: string, min: number, max: number, isWhole: boolean): number {
  const value = Number(text);
  if (
    text.trim() === "" ||
    !(value >= min && value <= max) ||
    (isWhole && !Number.isInteger(value))
  ) {
    const kind = isWhole ? "a whole number" : "a number";
    const range = max > 1e12 ? `above ${min < 1 ? 0 : min - 1}` : `from ${min} to ${max}`;
    throw new InvalidArgumentError(`It must be ${kind} ${range}.`);
  }
  return value;
}

function program(): Command {
  const root = new Command("edgeloom")
    .description("Train one neural network across devices, edge servers and the cloud.")
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .showHelpAfterError("(add --help for what is allowed)")
    .exitOverride()
    .addHelpText(
      "after",
      `
Examples:
  edgeloom demo                        one edge server and four unequal devices on this machine
  edgeloom serve job.yaml              wait for devices and train; prints a join line for each
  edgeloom join URL --token T --data DIR   take part with the data in DIR
  edgeloom discover                    servers that announce themselves in the local network
  edgeloom train job.yaml              train in this process alone
  edgeloom resume RUN                  go on with a run that was interrupted or killed
  edgeloom eval RUN --data DIR         measure a finished run on held-out data
  edgeloom page                        past runs in the browser; edgeloom runs lists them here

Exit codes: 0 done, 1 failed while running, 2 wrong input or usage, 130 interrupted.`,
    );

  addRuns(root);
  addJoin(root);
  addResume(root);
  addViews(root);
  addAdministration(root);
  addModels(root);
  addMeasurements(root);
  addTools(root);
  return root;
}

/** Commands that train. */
function addRuns(root: Command): void {
  root
    .command("demo")
    .description("train LeNet-5 on MNIST across an edge server and four device processes")
    .argument("[job]", "another job or scenario to train on MNIST, on processes of this machine")
    .option("--seed <n>", "seed of weights, partition and batches (default: the job's)", integer)
    .option("--port <n>", "port of the coordinator (default: first free from 7070)", port)
    .option("--runs <dir>", "folder for runs", "runs")
    .option("--json", "print one JSON object as the last line")
    .action(async (job, options) => (await import("./commands/demo.ts")).demo(job, options));

  root
    .command("serve")
    .description("start a coordinator and edge server for a job, and wait for its devices")
    .argument("<job>", "job file, see docs/jobs.md")
    .option("--port <n>", "port of the coordinator (default: first free from 7070)", port)
    .option("--host <address>", "address to listen on, 0.0.0.0 for all (default: 127.0.0.1)")
    .option("--no-announce", "do not tell the local network, where others can reach it")
    .option("--names <list>", "more names of this machine, for its own certificate", names)
    .option("--cert <file>", "certificate to use, as PEM (default: an own one is made)")
    .option("--key <file>", "its private key, as PEM")
    .option("--state <dir>", "folder of the own certificates (default: ~/.config/edgeloom)")
    .option("--token-days <n>", "days for which join links hold", positive, defaultTokenDays)
    .option("--patience <s>", "how long to wait where too few nodes are left", positive, 600)
    .option("--duty <share>", "share of one core for the edge server in this process", duty, 1)
    .option("--runs <dir>", "folder for runs", "runs")
    .option("--json", "print one JSON object as the last line")
    .addOption(
      new Option("--since <ms>", "count the run's time from this Unix time")
        .argParser(positive)
        .hideHelp(),
    )
    .addOption(new Option("--command <line>", "the command that a person gave").hideHelp())
    .action(async (job, options) => (await import("./commands/serve.ts")).serveJob(job, options));

  root
    .command("train")
    .description("train a job in this process, or as a pipeline with edge servers that join")
    .argument("<job>", "job file, see docs/jobs.md")
    .addOption(
      new Option("--planner <name>", "pipeline: edge servers may join and train later layers")
        .choices(["local", "pipeline"])
        .default("local"),
    )
    .option("--host <address>", "pipeline: where servers reach it, 0.0.0.0 for everywhere")
    .option("--port <n>", "pipeline: port for them (default: first free from 7070)", port)
    .option("--no-announce", "pipeline: do not tell the local network, where servers can reach it")
    .option("--duty <share>", "pipeline: share of one core for this process", duty, 1)
    .option("--runs <dir>", "folder for runs", "runs")
    .option("--threads <n>", "threads of the engine", count, 1)
    .option("--json", "print one JSON object as the last line")
    .action(async (job, options) => (await import("./commands/train.ts")).trainJob(job, options));
}

/** Commands of who takes part in another machine's run. */
function addJoin(root: Command): void {
  root
    .command("join")
    .description("take part in a run with private data")
    .argument("[url]", "address that serve printed, ws://... or wss://...")
    .option(
      "--discover [run]",
      "find the server in the local network instead, by its authority (--ca); of several runs, this one",
    )
    .option(
      "--via <addresses...>",
      "ask workers of the run that listen where the server is, by the addresses that they printed",
    )
    .option("--token <token>", "join token that serve printed, where the address has none")
    .option("--ca <fingerprint>", "the server's certificate authority: fingerprint, or PEM file")
    .option(
      "--data <path>",
      "mnist, a folder with idx files or with images by class, a CSV file, or a job file, whose data it takes",
    )
    .option("--edge", "join as an edge server, by a token of that role: it needs no data")
    .option(
      "--listen <host:port>",
      "let other workers of the run reach this one here, so that data between them go straight",
    )
    .option("--label <column>", "label column of a CSV (default: the last; with --columns: none)")
    .option("--key <column>", "column of a CSV by which another party knows its rows")
    .option(
      "--columns <n,n>",
      "columns of the model's input that this party has, from 0, where another one has the others",
      columns,
    )
    .option(
      "--classes <names>",
      "class names in the run's order, where this device may lack some",
      names,
    )
    .option("--name <name>", "name of this device (default: host name and process id)", nodeName)
    .option("--duty <share>", "share of one core that may be used, above 0 to 1", duty, 1)
    .option("--memory <MB>", "memory that may be used, in MB", positive)
    .option(
      "--energy <W,J/MB,J>",
      "watts while computing, joules for a megabyte sent or received, joules that a round may take",
      energy,
    )
    .option("--ceiling <Mbit/s>", "limit of this device's link", positive)
    .option("--patience <s>", "how long to try to come back when the link is lost", positive, 600)
    .option("--quiet", "print errors only")
    .action(async (url, options) => (await import("./commands/join.ts")).joinRun(url, options));

  root
    .command("discover")
    .description("list servers that announce themselves in the local network")
    .option("--seconds <n>", "how long to listen", positive, 3)
    .option("--json", "print one JSON object")
    .action(async (options) => (await import("./commands/discover.ts")).listServers(options));
}

/** The command that goes on with what the others have begun. */
function addResume(root: Command): void {
  root
    .command("resume")
    .description("go on with a run that was interrupted, has failed, or whose process died")
    .argument("<run>", "folder of the run, or its name under the folder for runs")
    .option("--port <n>", "port of the coordinator (default: the one that the run had)", port)
    .option("--runs <dir>", "folder for runs", "runs")
    .option("--json", "print one JSON object as the last line")
    .action(async (run, options) => (await import("./commands/resume.ts")).resumeRun(run, options));
}

/** Commands that look at runs. */
function addViews(root: Command): void {
  root
    .command("watch")
    .description("follow a run that is being served")
    .argument("<address>", "address of the page that serve printed, http://...#token=...")
    .action(async (address) => (await import("./commands/watch.ts")).watchRun(address));

  root
    .command("runs")
    .description("list past runs, open one, or compare two")
    .argument("[run...]", "none for the list, one to open it, two to compare them")
    .option("--runs <dir>", "folder for runs", "runs")
    .option("--csv", "print the rounds of one run as CSV")
    .option("--json", "print one JSON object")
    .action(async (names, options) =>
      (await import("./commands/runs.ts")).showRuns(names, options),
    );

  root
    .command("page")
    .description("show past runs in the browser")
    .option("--port <n>", "port of the page (default: first free from 7070)", port)
    .option("--runs <dir>", "folder for runs", "runs")
    .action(async (options) => (await import("./commands/page.ts")).showPage(options));
}

/** Commands that administer runs. */
function addAdministration(root: Command): void {
  root
    .command("tokens")
    .description("list who may join, watch and administer a run; make and revoke tokens")
    .argument("<run>", "run folder, or its server's address with an admin's token")
    .addOption(
      new Option("--revoke <id>", "take a token back, and close what it has opened").conflicts(
        "add",
      ),
    )
    .option("--add <role>", "make a token: device, edge, observer or admin")
    .option("--label <name>", "for whom it is made (default: guest)")
    .option("--json", "print one JSON object")
    .action(async (run, options) =>
      (await import("./commands/tokens.ts")).showTokens(run, options),
    );
}

/** Commands that look at models. */
function addModels(root: Command): void {
  root
    .command("inspect")
    .description("list a model's segments with flops, parameters and activations")
    .argument("<model>", "built-in model or .onnx file")
    .option("--batch <n>", "batch size", count, 32)
    .option("--tensors <n>", "most tensors that may cross a cut", count, 1)
    .option(
      "--classes <n>",
      "classes of a built-in model; this and the rest: docs/models.md",
      count,
    )
    .option("--channels <n>", "channels of images or readings", count)
    .option("--size <n>", "height and width of images", count)
    .option("--dropout <share>", "share of values that dropout drops", share)
    .option("--vocabulary <n>", "numbers of words, users or items", count)
    .option("--length <n>", "words, steps or readings of a sample", count)
    .option("--width <n>", "channels of the narrowest hidden layer", count)
    .option("--json", "print one JSON object as the last line")
    .action(async (model, options) =>
      (await import("./commands/inspect.ts")).inspect(model, options),
    );

  root
    .command("check")
    .description("compare a model's gradients with finite differences and with PyTorch's")
    .argument("<model>", "built-in model or .onnx file")
    .option("--batch <n>", "batch size (default: 2, or the model's own)", count)
    .option("--shape <sizes>", "sizes of a sample where the file leaves them open: 3,48,96", sizes)
    .option("--tolerance <x>", "difference allowed, as a share of the gradient", positive, 1e-3)
    .option("--seconds <n>", "time for finite differences", positive, 60)
    .option("--json", "print one JSON object as the last line")
    .addHelpText("after", "\nThe variable PYTHON names the Python with PyTorch (default: python3).")
    .action(async (model, options) =>
      (await import("./commands/check.ts")).checkModel(model, options),
    );
}

/** Commands that measure a job's model, or a run's. */
function addMeasurements(root: Command): void {
  root
    .command("audit")
    .description("measure how much of a job's inputs and labels can be told from what crosses cuts")
    .argument("<job>", "job file or scenario, see docs/jobs.md and docs/audit.md")
    .option("--cuts <list>", "cuts to look at: 1,3,5 (default: all)", sizes)
    .option("--samples <n>", "samples of attacker and attacked together (default: 1500)", count)
    .option("--weights <path>", "run folder, .onnx or .safetensors file (default: untrained)")
    .option("--out <file>", "write what was found, for edgeloom plan --audit")
    .option("--plot <file>", "write it as a picture (SVG)")
    .option("--json", "print one JSON object")
    .action(async (job, options) => (await import("./commands/audit.ts")).auditJob(job, options));

  root
    .command("eval")
    .description("measure a run or a model on held-out data")
    .argument("<run>", "run folder, or an .onnx file")
    .requiredOption(
      "--data <path>",
      "mnist, a folder with idx files or with images by class, a CSV file, or a job file, whose data it takes",
    )
    .addOption(
      new Option("--loss <name>", "loss to measure (default: the run's)").choices(lossNames),
    )
    .option("--label <column>", "label column of a CSV (default: the last)")
    .option(
      "--classes <names>",
      "class names in the run's order, where the data may lack some",
      names,
    )
    .option("--json", "print one JSON object as the last line")
    .action(async (run, options) => (await import("./commands/eval.ts")).evaluateRun(run, options));
}

/** Commands around a run: planning, results, data. */
function addTools(root: Command): void {
  root
    .command("plan")
    .description(
      "measure this machine, plan the job for the fleet it describes, and predict a round",
    )
    .argument("<job>", "job file or scenario, see docs/jobs.md and docs/scenarios.md")
    .option("--explain", "say what decides the round, and what would shorten it")
    .option("--planner <name>", "plan by another scheme than the job's, see docs/parallel-split.md")
    .option("--min-cut <n>", "segments that devices keep at least, for privacy", count)
    .option("--server-copies <kind>", "each or shared: one for each device, or one for all")
    .option("--audit <file>", "what edgeloom audit --out wrote of this job, for --leak-max")
    .option("--leak-max <r2>", "most of the inputs that cuts may reveal, see docs/audit.md", bound)
    .option("--json", "print one JSON object as the last line")
    .action(async (job, options) => (await import("./commands/plan.ts")).planJob(job, options));

  root
    .command("simulate")
    .description(
      "run a job in virtual time, on the machines and with the trouble that a scenario describes",
    )
    .argument("<scenario>", "scenario or job file, see docs/scenarios.md")
    .option("--json", "print one JSON object")
    .action(async (scenario, options) =>
      (await import("./commands/simulate.ts")).simulateScenario(scenario, options),
    );

  root
    .command("export")
    .description("write a run's newest weights as an ONNX inference model")
    .argument("<run>", "run folder")
    .requiredOption("--out <file>", "file to write")
    .action(async (run, options) => (await import("./commands/export.ts")).exportRun(run, options));

  root
    .command("partition")
    .description("split a data set into private shards by a seeded Dirichlet distribution")
    .argument("<data>", "mnist, or a folder with idx files")
    .requiredOption("--parts <n>", "number of shards", count)
    .requiredOption("--out <dir>", "folder for the shards part-1, part-2, ...")
    .option("--alpha <x>", "concentration: small is unequal, large is equal", positive, 0.5)
    .option("--seed <n>", "seed of the partition", integer, 1)
    .action(async (data, options) =>
      (await import("./commands/partition.ts")).partition(data, options),
    );
}

async function main(): Promise<void> {
  try {
    process.exitCode =
      (await program()
        .parseAsync()
        .then(() => process.exitCode)) ?? exitCodes.done;
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
    } else if (error instanceof EdgeloomError) {
      fail(error.message);
      process.exitCode = exitCodes.usage;
    } else {
      fail(`a bug in Edgeloom: ${error instanceof Error ? error.stack : messageOf(error)}`);
      process.exitCode = exitCodes.failed;
    }
  }
}

await main();
