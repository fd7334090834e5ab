/**
 * A Vite plugin that writes `report.html` beside the page: the same program with
 * its script and style in the file itself, and an empty element for the run.
 */
import type { Plugin } from "vite";

const runElement = '<script type="application/json" id="edgeloom-run"></script>';

export function reportFile(): Plugin {
  return {
    name: "edgeloom-report-file",
    enforce: "post",
    generateBundle(_options, bundle) {
      const page = bundle["index.html"];
      if (page?.type !== "asset") this.error("index.html is not among the files built");
      let html = String(page.source);
      // Replacements are functions: code may hold "$&" and the like.
      html = html.replace(/\s*<link\b[^>]*href="\.\/([^"]+\.css)"[^>]*>/g, (_tag, name) => {
        const file = bundle[name];
        if (file?.type !== "asset") this.error(`${name} is not among the files built`);
        return `\n    <style>${String(file.source).trim()}</style>`;
      });
      html = html.replace(/\s*<link\b[^>]*rel="icon"[^>]*>/, "");
      let code = "";
      html = html.replace(
        /\s*<script\b[^>]*src="\.\/([^"]+\.js)"[^>]*><\/script>/g,
        (_tag, name) => {
          const file = bundle[name];
          if (file?.type !== "chunk") this.error(`${name} is not among the files built`);
          if (file.imports.length > 0) this.error("the page is more than one script");
          code = file.code.trim().replaceAll("</script", "<\\/script");
          return "";
        },
      );
      if (code === "" || !html.includes("<style>"))
        this.error("index.html names no script or style");
      const scripts = `${runElement}\n    <script type="module">${code}</script>\n  </body>`;
      html = html.replace("</body>", () => scripts);
      this.emitFile({ type: "asset", fileName: "report.html", source: html });
    },
  };
}
