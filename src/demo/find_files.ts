import { join } from "node:path";

/**
 * Finds the files in a folder and in the folders below it.
 *
 * Hidden folders, `node_modules` and subfolders that cannot be listed are
 * skipped. Symbolic links are not followed, since they can form cycles.
 *
 * @returns The paths of each folder's files, sorted by name.
 */
export async function* findFiles(folder: string): AsyncGenerator<string[]> {
  const folders = [folder];
  for (let next = folders.pop(); next !== undefined; next = folders.pop()) {
    const entries = next === folder
      ? await list(next)
      : await list(next).catch(() => []);
    const parent = next;
    const below = entries.filter(({ name, isDirectory }) =>
      isDirectory && !name.startsWith(".") && name !== "node_modules"
    );
    folders.push(...below.map(({ name }) => join(parent, name)).reverse());
    yield entries.filter(({ isFile }) => isFile)
      .map(({ name }) => join(parent, name));
  }
}

async function list(folder: string): Promise<Deno.DirEntry[]> {
  const entries = await Array.fromAsync(Deno.readDir(folder));
  return entries.sort((a, b) => a.name < b.name ? -1 : 1);
}
