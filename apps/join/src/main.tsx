/** Begins: asks the server what there is to join, and goes on where a reload has cut the device off. */
import { render } from "preact";
import { App } from "./app.tsx";
import { open } from "./state.ts";

const root = document.getElementById("app");
if (root !== null) {
  render(<App />, root);
  void open();
}
