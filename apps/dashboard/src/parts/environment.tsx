/** How to have the same run again, and what to take home from it. */
import { useSignal } from "@preact/signals";
import { type RunListing, roundsCsv } from "edgeloom";
import { fetchFile, problemText, saveBlob } from "../api.ts";
import type { RunModel } from "../run-model.ts";
import { dateWords } from "../words.ts";
import { type Fact, Facts } from "./facts.tsx";

interface Props {
  readonly model: RunModel;
  /** Files of its folder that the server hands out; empty where there is no server. */
  readonly files: RunListing["files"];
  readonly token: string | null;
}

export function Environment({ model, files, token }: Props) {
  model.beat.value;
  const { environment, started } = model.history;
  const facts: Fact[] = [];
  if (environment !== null) {
    const { edgeloom, runtime, platform, cores, startedAt } = environment;
    facts.push(["started", dateWords(startedAt)], ["Edgeloom", edgeloom], ["runtime", runtime]);
    facts.push(["machine", `${platform}, ${cores} cores`]);
  }
  if (started !== null) {
    const { seed, batch, localBatches, rounds, segments } = started;
    facts.push(["seed", String(seed)], ["rounds", String(rounds)], ["batch", String(batch)]);
    if (localBatches > 0) facts.push(["batches in a round", String(localBatches)]);
    facts.push(["segments", segments.join(", ")]);
  }
  return (
    <section class="panel" aria-labelledby="again">
      <h2 id="again">Run it again, take it home</h2>
      <Facts facts={facts} />
      {environment !== null && <Command text={environment.command} />}
      <h3>Downloads</h3>
      <Downloads model={model} files={files} token={token} />
    </section>
  );
}

function Command({ text }: { text: string }) {
  const isCopied = useSignal(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      isCopied.value = true;
    } catch {
      // Without leave to write there, the reader can still mark the text.
    }
  };
  return (
    <>
      <h3>The command that reproduces it</h3>
      <div class="command">
        <code>{text}</code>
        <button type="button" class="quiet" onClick={copy}>
          {isCopied.value ? "Copied" : "Copy"}
        </button>
      </div>
    </>
  );
}

const about: Readonly<Record<string, string>> = {
  "model.onnx": "the trained model, for any ONNX runtime",
  "weights.safetensors": "the weights alone",
  "plan.json": "the newest plan",
  "job.yaml": "the job file",
  "records.jsonl": "everything that happened",
  "summary.json": "what the run came to, in short",
  "report.html": "this page as one file",
};

function Downloads({ model, files, token }: Props) {
  const problem = useSignal<string | null>(null);
  const saveCsv = () => {
    const blob = new Blob([roundsCsv(model.history)], { type: "text/csv" });
    saveBlob(blob, `${model.run}.csv`);
  };
  const saveFile = async (name: string) => {
    if (token === null) return;
    const answer = await fetchFile(token, model.run, name);
    problem.value = answer.ok ? null : problemText(answer.problem);
    if (answer.ok) saveBlob(answer.value, `${model.run}-${name}`);
  };
  return (
    <>
      <ul class="downloads">
        {files.map((name) => (
          <li key={name}>
            <button type="button" onClick={() => saveFile(name)}>
              {name}
            </button>{" "}
            <span>{about[name]}</span>
          </li>
        ))}
        <li>
          <button type="button" onClick={saveCsv}>
            rounds.csv
          </button>{" "}
          <span>a row for each round and node</span>
        </li>
      </ul>
      {problem.value !== null && <p class="bad-text">{problem}</p>}
    </>
  );
}
