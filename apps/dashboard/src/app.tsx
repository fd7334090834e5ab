/** The page's frame: where one is, how the connection stands, and the view of the route. */
import { useEffect, useRef } from "preact/hooks";
import { ConnectionBanner } from "./parts/connection-banner.tsx";
import { hashOf, type Route } from "./route.ts";
import type { RunModel } from "./run-model.ts";
import {
  listProblem,
  live,
  opened,
  openRun,
  refreshRuns,
  refusal,
  route,
  runs,
  token,
} from "./state.ts";
import { theme, toggleTheme } from "./theme.ts";
import { CompareView } from "./views/compare.tsx";
import { RunView } from "./views/run.tsx";
import { RunsView } from "./views/runs.tsx";
import { TokenForm } from "./views/token-form.tsx";

export function App() {
  const at = viewOf(route.value);
  const main = useRef<HTMLElement>(null);
  const key = hashOf(route.value);
  useEffect(() => {
    document.title = titleOf(route.value);
    window.scrollTo(0, 0);
  }, [key]);
  return (
    <>
      <TopBar at={at.view} onSkip={() => main.current?.focus()} />
      <main ref={main} tabIndex={-1}>
        <ConnectionBanner isLiveView={at.view === "live"} />
        {refusal.value === null ? <View at={at} /> : <TokenForm why={refusal.value} />}
      </main>
    </>
  );
}

/** A report of one run, in a file of its own. */
export function Report({ model }: { model: RunModel }) {
  const main = useRef<HTMLElement>(null);
  useEffect(() => {
    document.title = `Report of ${model.run} · Edgeloom`;
  }, [model]);
  return (
    <>
      <TopBar at={null} onSkip={() => main.current?.focus()} />
      <main ref={main} tabIndex={-1}>
        <RunView model={model} source="report" isLost={false} files={[]} token={null} />
      </main>
    </>
  );
}

/** The live run has one place, and home is wherever there is something to see. */
function viewOf(at: Route): Route {
  const list = runs.value;
  if (at.view === "run" && list !== null && at.run === list.live) return { view: "live" };
  if (at.view !== "home") return at;
  return list === null || list.live !== null ? { view: "live" } : { view: "runs" };
}

function titleOf(at: Route): string {
  if (at.view === "run") return `${at.run} · Edgeloom`;
  if (at.view === "runs") return "Runs · Edgeloom";
  return at.view === "compare" ? "Comparison · Edgeloom" : "Edgeloom";
}

function TopBar({ at, onSkip }: { at: Route["view"] | null; onSkip: () => void }) {
  const hasLive = live.value !== null;
  const next = theme.value === "dark" ? "light" : "dark";
  return (
    <header class="top">
      {/* No link: the hash says where the reader is, so it cannot also point into the page. */}
      <button type="button" class="skip" onClick={onSkip}>
        Skip to the content
      </button>
      <span class="mark">
        <Mark /> Edgeloom
      </span>
      {at === null && <span class="kind">report of a run</span>}
      {at !== null && refusal.value === null && (
        <nav aria-label="Pages">
          {hasLive && (
            <a href={hashOf({ view: "live" })} aria-current={at === "live" ? "page" : undefined}>
              Live
            </a>
          )}
          <a
            href={hashOf({ view: "runs" })}
            aria-current={at !== "live" && at !== "home" ? "page" : undefined}
          >
            Runs
          </a>
        </nav>
      )}
      <button type="button" class="quiet" onClick={toggleTheme} aria-label={`Use ${next} colours`}>
        {next === "dark" ? "Dark" : "Light"}
      </button>
    </header>
  );
}

/** Threads over and under each other. */
const Mark = () => (
  <svg width="18" height="18" viewBox="0 0 18 18" aria-hidden="true">
    <path d="M2 5.5h8M13 5.5h3M2 12.5h3M8 12.5h8M5.5 2v8M5.5 13v3M12.5 2v1M12.5 8v8" />
  </svg>
);

function View({ at }: { at: Route }) {
  const list = runs.value;
  switch (at.view) {
    case "home":
    case "live":
      return <LiveView />;
    case "runs":
      return list === null ? <Waiting /> : <RunsView list={list} />;
    case "run":
      return <PastRun run={at.run} />;
    case "compare":
      return <Compare a={at.a} b={at.b} />;
  }
}

function LiveView() {
  const model = live.value?.model.value ?? null;
  const isLost = live.value?.connection.value.state.kind === "lost";
  const end = model?.summary.value.end ?? null;
  // When the run is over its folder has everything that can be downloaded.
  useEffect(() => {
    if (end !== null) refreshRuns();
  }, [end]);
  if (model === null) return <Waiting />;
  const files = filesOf(model.run);
  return <RunView model={model} source="live" isLost={isLost} files={files} token={token.value} />;
}

const filesOf = (run: string): readonly string[] =>
  runs.value?.runs.find((listing) => listing.run === run)?.files ?? [];

function PastRun({ run }: { run: string }) {
  useEffect(() => {
    openRun(run);
  }, [run]);
  const state = opened.value.get(run);
  if (state?.kind === "problem") return <Problem text={state.text} />;
  if (state?.kind !== "open") return <Waiting />;
  const files = filesOf(run);
  return (
    <RunView model={state.model} source="past" isLost={false} files={files} token={token.value} />
  );
}

function Compare({ a, b }: { a: string; b: string }) {
  useEffect(() => {
    openRun(a);
    openRun(b);
  }, [a, b]);
  const models: RunModel[] = [];
  for (const run of [a, b]) {
    const followed = live.value?.model.value;
    const state = opened.value.get(run);
    if (followed?.run === run) models.push(followed);
    else if (state?.kind === "problem") return <Problem text={`${run}: ${state.text}`} />;
    else if (state?.kind === "open") models.push(state.model);
  }
  const [first, second] = models;
  if (first === undefined || second === undefined) return <Waiting />;
  return <CompareView a={first} b={second} />;
}

function Waiting() {
  return (
    <p class="loading" role="status">
      {listProblem.value ?? "Loading…"}
    </p>
  );
}

function Problem({ text }: { text: string }) {
  return (
    <section class="panel narrow">
      <h1>This run cannot be shown</h1>
      <p class="bad-text">{text}</p>
      <p>
        <a href={hashOf({ view: "runs" })}>All runs</a>
      </p>
    </section>
  );
}
