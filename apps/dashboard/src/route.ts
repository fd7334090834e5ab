/** Where the reader is: hash routes, because one file from disk has no other kind. */

export type Route =
  /** The live run, or the list where none is live. */
  | { readonly view: "home" }
  | { readonly view: "live" }
  | { readonly view: "runs" }
  | { readonly view: "run"; readonly run: string }
  | { readonly view: "compare"; readonly a: string; readonly b: string };

/** The route of a hash such as `#/runs/ID`; home for what is none. */
export function routeOf(hash: string): Route {
  const [root, first, second] = hash
    .replace(/^#?\/?/, "")
    .split("/")
    .map(decoded);
  if (root === "live") return { view: "live" };
  if (root === "runs") return first ? { view: "run", run: first } : { view: "runs" };
  if (root === "compare" && first && second) return { view: "compare", a: first, b: second };
  return { view: "home" };
}

/** The hash of a route: what links point to. */
export function hashOf(route: Route): string {
  switch (route.view) {
    case "home":
      return "#/";
    case "live":
      return "#/live";
    case "runs":
      return "#/runs";
    case "run":
      return `#/runs/${encodeURIComponent(route.run)}`;
    case "compare":
      return `#/compare/${encodeURIComponent(route.a)}/${encodeURIComponent(route.b)}`;
  }
}

/**
 * The token in what somebody pasted: the token alone, or the whole link that the
 * terminal printed. Null where there is none.
 */
export function tokenIn(text: string): string | null {
  const linked = /#token=([^&\s]+)/.exec(text)?.[1];
  if (linked !== undefined) return decoded(linked);
  const bare = text.trim();
  return bare === "" || /[\s/#]/.test(bare) ? null : bare;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
