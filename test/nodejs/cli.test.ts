import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { edgeloom, start } from "./processes.ts";

const folder = mkdtempSync(join(tmpdir(), "edgeloom-cli-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const runs = join(folder, "runs");
const points = file("points.csv", "1,2,0\n3,4,1\n");

describe("wrong input ends with exit code 2 and one message that says where and what", () => {
  const jobFile = (text: string): string => file("job.yaml", text);
  const train = (text: string) => () => ["train", jobFile(text), "--runs", runs];

  it.each<[what: string, args: () => string[], message: RegExp]>([
    ["a flag that does not exist", () => ["demo", "--sed", "3"], /unknown option '--sed'/],
    [
      "a flag of a wrong value",
      () => ["demo", "--seed", "many"],
      /'many' is invalid.*whole number/,
    ],
    [
      "a duty above 1",
      () => ["join", "ws://127.0.0.1:1", "--token", "t", "--data", "mnist", "--duty", "2"],
      /'2' is invalid.*0\.001 to 1/,
    ],
    [
      "a join without an address",
      () => ["join", "--token", "t", "--data", "mnist"],
      /neither an address nor --discover; allowed: .* in the local network, or --via/,
    ],
    [
      "an address where one is to be found",
      () => ["join", "ws://127.0.0.1:1", "--discover", "--token", "t", "--data", "mnist"],
      /both an address and --discover/,
    ],
    [
      "an address behind --discover",
      () => ["join", "--discover", "wss://127.0.0.1:1", "--token", "t", "--data", "mnist"],
      /both an address and --discover/,
    ],
    [
      "a server to be found without what it is known by",
      () => ["join", "--discover", "--token", "t", "--data", "mnist"],
      /--discover without --ca; allowed: the fingerprint/,
    ],
    [
      "a server by word of a worker, without what it is known by",
      () => [
        "join",
        "--token",
        "t",
        "--data",
        "mnist",
        "--via",
        `wss://h:1/peer#${"A".repeat(43)}`,
      ],
      /--via without --ca; allowed: the fingerprint/,
    ],
    [
      "a worker to ask whose address is none",
      () => [
        "join",
        "--token",
        "t",
        "--ca",
        "A".repeat(43),
        "--data",
        "mnist",
        "--via",
        "wss://h:1",
      ],
      /--via: got wss:\/\/h:1 .*; allowed: what a worker printed that listens/,
    ],
    [
      "a server to be found without a token",
      () => ["join", "--discover", "--ca", "c", "--data", "mnist"],
      /--discover without --token/,
    ],
    ["a command that does not exist", () => ["trian"], /unknown command 'trian'/],
    [
      "a job file that is not there",
      () => ["train", join(folder, "none.yaml")],
      /none\.yaml.*ENOENT/,
    ],
    ["a job file that is no YAML", train("model: [lenet5\ndata: mnist"), /job\.yaml:\d+: job file/],
    [
      "a job field of a wrong type, with its line",
      train("model: lenet5\ndata: mnist\nbatch: many\n"),
      /job\.yaml:3: batch: got "many"/,
    ],
    [
      "a job field that does not exist",
      train("model: lenet5\ndata: mnist\nbtach: 3\n"),
      /job\.yaml:3: btach: got 3; allowed: no such field/,
    ],
    [
      "a nested job field out of range",
      train("model: lenet5\ndata: mnist\noptimizer:\n  momentum: 2\n"),
      /job\.yaml:4: optimizer\.momentum: got 2/,
    ],
    ["a job without a model", train("data: mnist\n"), /job\.yaml:1: model: got nothing/],
    [
      "a model that does not exist",
      train("model: lenet6\ndata: mnist\n"),
      /model: got "lenet6"; allowed: lenet5, mlp/,
    ],
    [
      "a model file that is no ONNX",
      () => ["inspect", file("bad.onnx", "this is no model")],
      /not an ONNX file/,
    ],
    [
      "data that do not fit the model",
      train("model: lenet5\ndata: { csv: points.csv }\n"),
      /the job's data: got samples of shape \[2\] do not fit the model, which takes \[1,28,28\]/,
    ],
    [
      "images that a model does not take, with the options that make it",
      train("model: vgg-small\ndata: mnist\n"),
      /\[1,28,28\].*\(the job may say modelOptions: { channels: 1, size: 28, classes: 10 }\)/,
    ],
    [
      "an option that a built-in model does not have",
      () => ["inspect", "lenet5", "--length", "7"],
      /modelOptions\.length: got 7 for lenet5; allowed: classes, channels, size/,
    ],
    [
      "images too small for a model's layers",
      () => ["inspect", "lenet5", "--size", "4"],
      /modelOptions: got {"size":4} for lenet5 \(Conv "conv2": .*allowed: sizes and lengths/,
    ],
    [
      "labels that are not one class number for each sample",
      train("model: gpt\ndata: mnist\n"),
      /softmax-cross-entropy compares float32.* data of a job have one class number/,
    ],
    [
      "options of a model that is a file",
      () => ["inspect", "model.onnx", "--classes", "7"],
      /modelOptions: got {"classes":7} for model\.onnx; allowed: none/,
    ],
    [
      "a data folder that is not there",
      train("model: lenet5\ndata: { idx: nowhere }\n"),
      /nowhere: data: got no train-images/,
    ],
    [
      "data at a path that is not there",
      () => ["eval", join(folder, "none.onnx"), "--data", "mnist"],
      /run: got .*none\.onnx/,
    ],
    [
      "two changes of tokens at once",
      () => ["tokens", folder, "--revoke", "a", "--add", "device"],
      /'--revoke <id>' cannot be used with option '--add <role>'/,
    ],
    [
      "a run folder that is not there",
      () => ["export", join(folder, "none"), "--out", "x.onnx"],
      /run: got .*none/,
    ],
  ])("%s", async (_what, args, message) => {
    const { code, stdout, stderr } = await edgeloom(args());
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(code, stdout + stderr).toBe(2);
  });

  it.each<[what: string, data: string]>([
    ["that are not there", "{ csv: points.csv, test: none.csv }"],
    ["held out that do not fit the model", "{ csv: points.csv, test: points.csv }"],
  ])("data %s leave no run folder", async (_what, data) => {
    const job = jobFile(`model: lenet5\ndata: ${data}\nfleet: { devices: 1 }\n`);
    const root = mkdtempSync(join(folder, "untouched-"));
    for (const command of ["serve", "train"]) {
      const { code, stderr } = await edgeloom([command, job, "--runs", root]);
      expect(code, stderr).toBe(2);
      expect(readdirSync(root)).toEqual([]);
    }
  });

  it("a broken data file, named", async () => {
    file("train-images-idx3-ubyte", "short");
    file("train-labels-idx1-ubyte", "short");
    const { code, stderr } = await edgeloom([
      "join",
      "ws://127.0.0.1:1",
      "--token",
      "t",
      "--data",
      folder,
    ]);
    expect(stderr).toMatch(/train-images-idx3-ubyte/);
    expect(code).toBe(2);
  });

  it("a coordinator that does not answer", async () => {
    const args = ["join", "ws://127.0.0.1:9", "--token", "t", "--data", points];
    const { code, stderr } = await edgeloom(args);
    expect(stderr).toMatch(/coordinator URL: got ws:\/\/127\.0\.0\.1:9/);
    expect(code).toBe(2);
  });
});

describe("help", () => {
  it("lists every command, and each command explains its flags", async () => {
    const { code, stdout } = await edgeloom(["--help"]);
    expect(code).toBe(0);
    for (const name of [
      "demo",
      "serve",
      "join",
      "discover",
      "train",
      "plan",
      "eval",
      "inspect",
      "check",
    ]) {
      expect(stdout).toMatch(new RegExp(`^  ${name} `, "m"));
    }
    const join = await edgeloom(["join", "--help"]);
    expect(join.stdout).toMatch(/--duty <share>/);
    expect(join.code).toBe(0);
  });
});

describe("a plan that explains itself", () => {
  const scenario = "examples/scenarios/factory.yaml";

  it("says what decides the round, and what would shorten it", async () => {
    const { code, stdout } = await edgeloom(["plan", scenario, "--explain", "--json"]);
    expect(stdout).toMatch(/slow: 8 x slower than the fastest; cut \d+ keeps \d+ % of its time/);
    expect(stdout).toMatch(/What would twice the bandwidth buy\?\n {2}\d+ % of a round/);
    expect(stdout).toMatch(/Which device decides the round\?\n {2}old: at twice its speed/);
    const { answers } = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "");
    expect(answers.length).toBeGreaterThanOrEqual(4);
    expect(stdout).toMatch(
      /What do the server's copies cost\?\n {2}one for each device: \d+ MB of .*; one that all devices share: /,
    );
    expect(code).toBe(0);
  });

  it("plans with the server's copies that are asked for", async () => {
    const { stdout } = await edgeloom(["plan", scenario, "--server-copies", "shared"]);
    expect(stdout).toMatch(/devices share one copy on server, of \S+ MB instead of \S+ MB/);
    const { code, stderr } = await edgeloom(["plan", scenario, "--server-copies", "many"]);
    expect(stderr).toMatch(/--server-copies: got many; allowed: each or shared/);
    expect(code).toBe(2);
  });

  it("keeps so many segments on devices as are asked for, for the planner that splits", async () => {
    const { stdout } = await edgeloom(["plan", scenario, "--min-cut", "4", "--json"]);
    const { plan } = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "");
    const kept = plan.copies.filter((copy: { from: number }) => copy.from === 0);
    for (const { to } of kept) expect(to).toBeGreaterThanOrEqual(4);
    const other = await edgeloom(["plan", scenario, "--planner", "splitfed"]);
    expect(other.stdout).toMatch(/SplitFed: one cut for all, and equal shares/);
    const alone = file("alone.yaml", "model: lenet5\ndata: mnist\nplanner: local\n");
    const { code, stderr } = await edgeloom(["plan", alone, "--explain"]);
    expect(stderr).toMatch(/--explain: got a job with the planner local/);
    expect(code).toBe(2);
  });
});

describe("a check of a model's gradients", () => {
  it("ends with 0 where they are right, and says so on one line", async () => {
    const { code, stdout } = await edgeloom(["check", "mlp", "--json"]);
    expect(stdout).toMatch(/^fc1\.weight +\S+ +\S+ .*ok$/m);
    const [said, json] = stdout.trimEnd().split("\n").slice(-2);
    expect(said).toMatch(/^Right within 0\.001: 6 gradients\.$/);
    expect(JSON.parse(json ?? "")).toMatchObject({ isRight: true });
    expect(code).toBe(0);
  });

  it("ends with 1 where one is further off than allowed", async () => {
    const { code, stdout } = await edgeloom(["check", "mlp", "--tolerance", "1e-9"]);
    expect(stdout).toMatch(/^Not right: \d of 6 gradients are off/m);
    expect(code).toBe(1);
  });

  it("takes the sizes that a file leaves open", async () => {
    const { code, stderr } = await edgeloom(["check", "mlp", "--shape", "1,20,20"]);
    expect(stderr).toMatch(/Gemm|MatMul/);
    expect(code).toBe(2);
  });
});

describe("inspect", () => {
  it("makes built-in models with options, and takes the loss that each is made for", async () => {
    const large = await edgeloom(["inspect", "resnet20", "--size", "48", "--classes", "7"]);
    expect(large.stdout).toMatch(/resnet20: 274 k parameters/);
    expect(large.stdout).toMatch(/float32\[32,16,48,48\]/);
    expect(large.stdout).toMatch(/float32\[32,7\]/);
    const vae = await edgeloom(["inspect", "vae", "--size", "8", "--batch", "3"]);
    expect(vae.stdout).toMatch(/vae: .*batch 3/);
    expect(vae.code).toBe(0);
  });
});

describe("the port", () => {
  const job = () => file("serve.yaml", "model: lenet5\ndata: mnist\nfleet: { devices: 1 }\n");

  it("given by --port and in use ends with exit code 2", async () => {
    const [server, port] = await listening();
    const { code, stderr } = await edgeloom(["serve", job(), "--runs", runs, "--port", `${port}`]);
    server.close();
    expect(stderr).toMatch(new RegExp(`--port: got ${port}, which is in use`));
    expect(code).toBe(2);
  });

  it("left open is the next free one, and that is said", async () => {
    const holder = await listening(7070).catch(() => null);
    const server = start(["serve", job(), "--runs", runs]);
    await server.says(/port 7070 is in use; listening on (\d+)/);
    await server.says(
      /edgeloom join ws:\/\/127\.0\.0\.1:\d+ --token \S+ --name device-1 --data PATH/,
    );
    server.child.kill("SIGINT");
    const { code } = await server.finished;
    holder?.[0].close();
    expect(code).toBe(130);
  });
});

/** A plain server that holds a port: any free one, or exactly the one asked for. */
function listening(port = 0): Promise<[Server, number]> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      resolve([server, (server.address() as { port: number }).port]);
    });
  });
}
