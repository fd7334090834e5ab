/**
 * Reads the repository's own source as facts for `tidy.test.ts`: what each file
 * imports, how long its functions are, which platform names it uses. The syntax
 * trees come from the TypeScript compiler that checks the types, so comments and
 * strings never count as code. Its programming interface is still called
 * unstable; the exact version is pinned in package.json and all use is here.
 */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { type Node, type SourceFile, SyntaxKind } from "typescript/unstable/ast";
import {
  isArrowFunction,
  isCallExpression,
  isConstructorDeclaration,
  isExportDeclaration,
  isForOfStatement,
  isFunctionDeclaration,
  isFunctionExpression,
  isGetAccessorDeclaration,
  isIdentifier,
  isImportDeclaration,
  isImportTypeNode,
  isLiteralTypeNode,
  isMethodDeclaration,
  isNamedImports,
  isNewExpression,
  isPropertyAccessExpression,
  isPropertyAssignment,
  isSetAccessorDeclaration,
  isStringLiteral,
  isVariableDeclaration,
} from "typescript/unstable/ast/is";
import type { FileSystem } from "typescript/unstable/fs";
import { API } from "typescript/unstable/sync";

/** One import, re-export or dynamic import. */
export interface Import {
  /** Path of the imported file from the root, or the name of a package. */
  readonly target: string;
  /** Whether the target is a file of the repository. */
  readonly local: boolean;
  /** Whether it vanishes with the types. */
  readonly typeOnly: boolean;
  readonly reExport: boolean;
  readonly line: number;
}

/** A name that occurs as code. */
export interface Use {
  /** "Date.now", "setTimeout", "await", ".then". */
  readonly name: string;
  readonly line: number;
}

export interface FunctionLength {
  readonly name: string;
  readonly lines: number;
}

/** What tidy rules may know of a source file. */
export interface Source {
  /** From the root, with forward slashes. */
  readonly path: string;
  readonly lines: number;
  readonly imports: readonly Import[];
  readonly uses: readonly Use[];
  readonly functions: readonly FunctionLength[];
  /** Names of functions called, for finding tests. */
  readonly calls: ReadonlySet<string>;
}

/** Facts of every file that a project under `root` includes; the main one where none is named. */
export function readSources(root: string, fs?: FileSystem, config = "tsconfig.json"): Source[] {
  const api = new API(fs === undefined ? { cwd: root } : { cwd: root, fs });
  try {
    const snapshot = api.updateSnapshot({ openProject: path.posix.join(root, config) });
    const sources: Source[] = [];
    for (const project of snapshot.getProjects()) {
      for (const file of project.rootFiles) {
        const tree = project.program.getSourceFile(file);
        if (tree === undefined) throw new Error(`${file} has no syntax tree`);
        sources.push(factsOf(tree, path.relative(root, file).replaceAll("\\", "/")));
      }
    }
    return sources;
  } finally {
    api.close();
  }
}

/** Paths of all files of the repository that are not installed, built or left by a run. */
export function repositoryFiles(root: string): string[] {
  const ignored = [".git", "runs", "coverage", "dist"];
  return readdirSync(root, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)))
    .filter((file) => {
      const folders = file.split(path.sep);
      const [top = ""] = folders;
      if (ignored.includes(top) || top.startsWith(".dist-")) return false;
      return !folders.includes("node_modules");
    })
    .map((file) => file.replaceAll("\\", "/"));
}

/** A file's text, or null where it is binary. */
export function textOf(root: string, file: string): string | null {
  const text = readFileSync(path.join(root, file), "utf8");
  return text.includes("\0") ? null : text;
}

function factsOf(tree: SourceFile, file: string): Source {
  const imports: Import[] = [];
  const uses: Use[] = [];
  const functions: FunctionLength[] = [];
  const calls = new Set<string>();
  const lineOf = (position: number) => tree.getLineAndCharacterOfPosition(position).line + 1;
  const visit = (node: Node): void => {
    const line = lineOf(node.getStart(tree));
    const found = importOf(node);
    if (found !== null) imports.push({ ...resolve(found.specifier, file), ...found.kind, line });
    const used = useOf(node);
    if (used !== null) uses.push({ name: used, line });
    if (isFunction(node)) {
      functions.push({ name: functionName(node), lines: lineOf(node.end) - line + 1 });
    }
    if (isCallExpression(node)) {
      let callee: Node = node.expression;
      while (isPropertyAccessExpression(callee) || isCallExpression(callee)) {
        callee = callee.expression;
      }
      if (isIdentifier(callee)) calls.add(callee.text);
    }
    node.forEachChild(visit);
  };
  visit(tree);
  const lines = tree.text.endsWith("\n") ? tree.getLineStarts().length - 1 : lineOf(tree.end);
  return { path: file, lines, imports, uses, functions, calls };
}

interface FoundImport {
  readonly specifier: string;
  readonly kind: { readonly typeOnly: boolean; readonly reExport: boolean };
}

function importOf(node: Node): FoundImport | null {
  if (isImportDeclaration(node) && isStringLiteral(node.moduleSpecifier)) {
    const clause = node.importClause;
    const names = clause?.namedBindings;
    const onlyTypes =
      clause !== undefined &&
      (clause.phaseModifier === SyntaxKind.TypeKeyword ||
        (clause.name === undefined &&
          names !== undefined &&
          isNamedImports(names) &&
          names.elements.every((element) => element.isTypeOnly)));
    return {
      specifier: node.moduleSpecifier.text,
      kind: { typeOnly: onlyTypes, reExport: false },
    };
  }
  if (isExportDeclaration(node) && node.moduleSpecifier && isStringLiteral(node.moduleSpecifier)) {
    return {
      specifier: node.moduleSpecifier.text,
      kind: { typeOnly: node.isTypeOnly, reExport: true },
    };
  }
  const kind = { typeOnly: isImportTypeNode(node), reExport: false };
  if (isImportTypeNode(node) && isLiteralTypeNode(node.argument)) {
    const literal = node.argument.literal;
    return isStringLiteral(literal) ? { specifier: literal.text, kind } : null;
  }
  // import("./x.ts") and new URL("./x.ts", import.meta.url): how worker threads are named.
  const dynamic =
    (isCallExpression(node) && node.expression.kind === SyntaxKind.ImportKeyword) ||
    (isNewExpression(node) && isIdentifier(node.expression) && node.expression.text === "URL");
  const first = dynamic ? node.arguments?.[0] : undefined;
  if (first === undefined || !isStringLiteral(first)) return null;
  if (isNewExpression(node) && !/^\.{1,2}\/.*\.ts$/.test(first.text)) return null;
  return { specifier: first.text, kind };
}

function resolve(specifier: string, from: string): { target: string; local: boolean } {
  if (specifier.startsWith(".")) {
    return { target: path.posix.join(path.posix.dirname(from), specifier), local: true };
  }
  if (specifier.startsWith("node:")) return { target: specifier, local: false };
  const parts = specifier.split("/");
  return { target: parts.slice(0, specifier.startsWith("@") ? 2 : 1).join("/"), local: false };
}

/** The name that a node uses, where rules may care: `a.b`, bare identifiers, `await`, `async`. */
function useOf(node: Node): string | null {
  if (node.kind === SyntaxKind.AwaitExpression) return "await";
  if (isForOfStatement(node) && node.awaitModifier !== undefined) return "await";
  if (node.kind === SyntaxKind.AsyncKeyword) return "async";
  if (isPropertyAccessExpression(node)) {
    const { expression, name } = node;
    if (isIdentifier(expression) && isIdentifier(name)) return `${expression.text}.${name.text}`;
    return isIdentifier(name) ? `.${name.text}` : null;
  }
  if (isNewExpression(node) && isIdentifier(node.expression)) return `new ${node.expression.text}`;
  if (isCallExpression(node) && isIdentifier(node.expression)) return `${node.expression.text}()`;
  return null;
}

const isFunction = (node: Node): boolean =>
  isFunctionDeclaration(node) ||
  isFunctionExpression(node) ||
  isArrowFunction(node) ||
  isMethodDeclaration(node) ||
  isConstructorDeclaration(node) ||
  isGetAccessorDeclaration(node) ||
  isSetAccessorDeclaration(node);

function functionName(node: Node): string {
  if (isConstructorDeclaration(node)) return "constructor";
  const named =
    isVariableDeclaration(node.parent) || isPropertyAssignment(node.parent) ? node.parent : node;
  const name = (named as { name?: Node }).name;
  return name === undefined ? "(anonymous)" : name.getText();
}
