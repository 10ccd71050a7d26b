import { type Browser, chromium } from "playwright-core";

const PATHS = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
];

/** The path of Chromium: `CHROMIUM`, or where systems install it. */
export const chromiumPath: string | undefined = [
  Deno.env.get("CHROMIUM"),
  ...PATHS,
].find((path) => path !== undefined && isFile(path));

if (chromiumPath === undefined) {
  console.warn(
    "No Chromium is installed: the tests in a browser are skipped. " +
      "CHROMIUM may say where there is one.",
  );
}

/** Starts a browser that makes no requests of its own. */
export async function startBrowser(): Promise<Browser & AsyncDisposable> {
  return await chromium.launch({
    executablePath: chromiumPath,
    args: [
      "--no-sandbox", // It does not start as root otherwise.
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
