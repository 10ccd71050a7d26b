/**
 * The libraries to compare with. They are imported only when they are measured, so
 * that nothing else downloads them.
 */
const PEERS = {
  "@dbos-inc/dbos-sdk": "npm:@dbos-inc/dbos-sdk@5.3.0",
  "graphile-worker": "npm:graphile-worker@0.18.0",
  pg: "npm:pg@8.23.1",
  "pg-boss": "npm:pg-boss@12.38.0",
  "p-queue": "npm:p-queue@10.0.0",
  rxjs: "npm:rxjs@7.8.2",
} as const;

/** Imports a peer. */
// deno-lint-ignore no-explicit-any -- the types of peers are not downloaded
export async function importPeer(name: keyof typeof PEERS): Promise<any> {
  return await import(PEERS[name]);
}
