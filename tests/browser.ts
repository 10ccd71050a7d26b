import { type Browser, chromium } from "playwright-core";

const PATHS = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
];

/** The path of Chromium: `CHROMIUM`, or where systems install it. */
const chromiumPath: string | undefined = [
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
async function startBrowser(): Promise<Browser & AsyncDisposable> {
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

/** Adds a test in a browser; it is ignored if none is installed. */
export function testInBrowser(
  name: string,
  test: (browser: Browser) => Promise<void>,
): void {
  Deno.test({
    name,
    ignore: chromiumPath === undefined,
    // The driver's process and its pipes outlive the test.
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      const browser = await startBrowser();
      try {
        await test(browser);
      } finally {
        await browser.close();
      }
    },
  });
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
