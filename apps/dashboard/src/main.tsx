/** Begins: a report draws its own run; any other page asks its server. */
import { render } from "preact";
import { App, Report } from "./app.tsx";
import { reportedRun } from "./report.ts";
import { start } from "./state.ts";

const root = document.getElementById("app");
if (root !== null) {
  const reported = reportedRun();
  if (reported === null) start();
  render(reported === null ? <App /> : <Report model={reported} />, root);
}
