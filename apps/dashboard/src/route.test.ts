import { expect, test } from "vitest";
import { hashOf, type Route, routeOf, tokenIn } from "./route.ts";

test("a route and its hash say the same", () => {
  const routes: Route[] = [
    { view: "home" },
    { view: "live" },
    { view: "runs" },
    { view: "run", run: "2026-11-21-demo 1/2" },
    { view: "compare", a: "one", b: "two#3" },
  ];
  for (const route of routes) expect(routeOf(hashOf(route))).toEqual(route);
});

test("a hash that is no route leads home", () => {
  for (const hash of ["", "#", "#main", "#/compare/only-one", "#token=abc", "#/%E0%A4%A"]) {
    expect(routeOf(hash)).toEqual({ view: "home" });
  }
});

test("the token is found in a link, and alone, and nowhere else", () => {
  expect(tokenIn("http://127.0.0.1:7070/#token=AB-c_1")).toBe("AB-c_1");
  expect(tokenIn("#token=a%2Bb")).toBe("a+b");
  expect(tokenIn("  AB-c_1 \n")).toBe("AB-c_1");
  for (const text of ["", "  ", "http://127.0.0.1:7070/", "two words", "#/live"]) {
    expect(tokenIn(text)).toBeNull();
  }
});
