/**
 * A repository of pipeline runs in Postgres.
 *
 * @example Usage
 * ```ts ignore
 * import { PipelineRunRegistry } from "@pipeline/run-registry";
 * import { connect } from "@pipeline/run-registry/postgres";
 *
 * await using repository = await connect("postgres://localhost/postgres");
 * await using registry = new PipelineRunRegistry({ repository });
 * await registry.registerInline({ pipelineName: "ingest" }, () => {});
 * ```
 *
 * @module
 */
export type { PostgresClient, StatementOptions } from "./client/client.ts";
export { connect, type ConnectOptions } from "./connect.ts";
export type { PostgresPipelineRunRepositoryOptions } from "./options.ts";
export { PostgresPipelineRunRepository } from "./postgres_repository.ts";
export { type Migration, migrations, schemaSql } from "./sql/migrations.ts";
