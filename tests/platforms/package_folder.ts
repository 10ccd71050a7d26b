import { buildSync, transformSync } from "esbuild";
import config from "../../deno.json" with { type: "json" };

const ROOT = decodeURIComponent(new URL("../../", import.meta.url).pathname);

const IS_ARM = Deno.build.arch === "aarch64";

/** The packages on npm with the programs of the platforms. */
const NODE = `node-${Deno.build.os}-${IS_ARM ? "arm64" : "x64"}`;
const BUN = `@oven/bun-${Deno.build.os}-${IS_ARM ? "aarch64" : "x64"}`;

const DEPENDENCIES: Record<string, string> = {
  [NODE]: "22.23.3",
  [BUN]: "1.4.5",
  crossws: versionOf("crossws"),
  postgres: versionOf("postgres"),
  srvx: versionOf("srvx"),
  uuid: "14", // What stands for @std/uuid uses it.
};

function versionOf(name: keyof typeof config.imports): string {
  return config.imports[name].slice(`npm:${name}@`.length);
}

/** The packages of @std that the package needs. */
const STD = { async: "1.5.0", uuid: "1.1.1" };

/**
 * A folder in which the package is installed as by `npx jsr add`: each module as
 * JavaScript of its own, with the packages of JSR under their names on npm.jsr.io.
 */
export class PackageFolder implements AsyncDisposable {
  /** The folder. */
  readonly path: string;
  /** The program of Node. */
  readonly node: string;
  /** The program of Bun. */
  readonly bun: string;

  private constructor(path: string) {
    this.path = path;
    this.node = `${path}/node_modules/${NODE}/bin/node`;
    this.bun = `${path}/node_modules/${BUN}/bin/bun`;
  }

  /** Makes the folder. What comes from npm is downloaded once. */
  static async make(): Promise<PackageFolder> {
    await using stack = new AsyncDisposableStack();
    const folder = stack.use(new PackageFolder(await Deno.makeTempDir()));
    await folder.#install();
    const { "./demo": _, ...exports } = config.exports;
    await folder.#addPackage(ROOT, config.name, exports);
    for (const [name, version] of Object.entries(STD)) {
      const path = `${ROOT}tests/vendor/jsr.io/@std/${name}/${version}`;
      const { exports } = JSON.parse(
        await Deno.readTextFile(`${path}_meta.json`),
      );
      await folder.#addPackage(`${path}/`, `@jsr/std__${name}`, exports);
    }
    stack.move();
    return folder;
  }

  /** Adds a module of TypeScript. */
  async addModule(name: string, code: string): Promise<void> {
    const { code: js } = transformSync(code, { loader: "ts" });
    await Deno.writeTextFile(`${this.path}/${name}.js`, js);
  }

  /** Bundles a module with all that it imports. */
  bundle(name: string, into: string, platform: "node" | "browser"): void {
    buildSync({
      entryPoints: [`${this.path}/${name}.js`],
      bundle: true,
      format: "esm",
      platform,
      outfile: `${this.path}/${into}.js`,
    });
  }

  async #install(): Promise<void> {
    await this.#write("package.json", {
      private: true,
      type: "module",
      dependencies: DEPENDENCIES,
    });
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["install", "--no-lock", "--quiet"],
      cwd: this.path,
    }).output();
    if (success) return;
    throw new Error(`Cannot install: ${new TextDecoder().decode(stderr)}`);
  }

  async #addPackage(
    root: string,
    name: string,
    exports: Record<string, string>,
  ): Promise<void> {
    const { metafile } = buildSync({
      entryPoints: Object.values(exports),
      absWorkingDir: root,
      bundle: true,
      packages: "external",
      format: "esm",
      outdir: "unused",
      write: false,
      metafile: true,
    });
    const { outputFiles } = buildSync({
      entryPoints: Object.keys(metafile.inputs),
      absWorkingDir: root,
      outbase: root,
      outdir: `${this.path}/node_modules/${name}`,
      write: false,
    });
    for (const { path, text } of outputFiles) {
      const js = text
        .replace(/( from "\.[^"]*)\.ts"/g, '$1.js"')
        .replace(/ from "@std\//g, ' from "@jsr/std__')
        .replace(/ from "npm:([^@"]+)[^"]*"/g, ' from "$1"');
      await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), {
        recursive: true,
      });
      await Deno.writeTextFile(path, js);
    }
    await this.#write(`node_modules/${name}/package.json`, {
      name,
      type: "module",
      exports: Object.fromEntries(
        Object.entries(exports)
          .map(([entry, path]) => [entry, path.replace(/\.ts$/, ".js")]),
      ),
    });
  }

  async #write(path: string, json: unknown): Promise<void> {
    await Deno.writeTextFile(`${this.path}/${path}`, JSON.stringify(json));
  }

  /** Removes the folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}
