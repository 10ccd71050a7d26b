import { buildSync } from "esbuild";

const ROOT = new URL("../../", import.meta.url).pathname;

/** A module for browsers. */
export interface Bundle {
  /** Its code, minified. */
  code: Uint8Array<ArrayBuffer>;
  /** The files that it is made of, relative to the repository. */
  files: string[];
}

/**
 * Makes a module for browsers of a statement that exports, with paths relative to
 * the repository. To be called before the tests begin: esbuild keeps the worker that
 * it builds with.
 */
export function bundle(contents: string): Bundle {
  const { outputFiles: [{ contents: code }], metafile } = buildSync({
    stdin: { contents, resolveDir: ROOT, loader: "ts" },
    absWorkingDir: ROOT,
    alias: { "@std/async": `${ROOT}tests/vendor/jsr.io/@std/async/1.5.0` },
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    write: false,
    metafile: true,
  });
  return { code: new Uint8Array(code), files: Object.keys(metafile.inputs) };
}
