import { BROADCAST_MUTATIONS } from "./broadcast_mutations.ts";
import { CLI_MUTATIONS } from "./cli_mutations.ts";
import { CLIENT_MUTATIONS } from "./client_mutations.ts";
import { GROUP_COMMIT_MUTATIONS } from "./group_commit_mutations.ts";
import { LEASE_MUTATIONS } from "./lease_mutations.ts";
import { LEASE_STATEMENT_MUTATIONS } from "./lease_statement_mutations.ts";
import { LOG_MUTATIONS } from "./log_mutations.ts";
import { MIGRATION_MUTATIONS } from "./migration_mutations.ts";
import type { Mutation } from "./mutation.ts";
import { PAGE_MUTATIONS } from "./page_mutations.ts";
import { READ_STATEMENT_MUTATIONS } from "./read_statement_mutations.ts";
import { REGISTRY_MUTATIONS } from "./registry_mutations.ts";
import { REPOSITORY_MUTATIONS } from "./repository_mutations.ts";
import { RETENTION_MUTATIONS } from "./retention_mutations.ts";
import { ROW_STATEMENT_MUTATIONS } from "./row_statement_mutations.ts";
import { RUN_MUTATIONS } from "./run_mutations.ts";
import { STREAM_MUTATIONS } from "./stream_mutations.ts";
import { TELEMETRY_MUTATIONS } from "./telemetry_mutations.ts";
import { WRITE_MUTATIONS } from "./write_mutations.ts";
import { WRITE_STATEMENT_MUTATIONS } from "./write_statement_mutations.ts";

/** All mutations. */
export const MUTATIONS: readonly Mutation[] = [
  ...MIGRATION_MUTATIONS,
  ...LEASE_STATEMENT_MUTATIONS,
  ...WRITE_STATEMENT_MUTATIONS,
  ...READ_STATEMENT_MUTATIONS,
  ...ROW_STATEMENT_MUTATIONS,
  ...LEASE_MUTATIONS,
  ...WRITE_MUTATIONS,
  ...GROUP_COMMIT_MUTATIONS,
  ...CLIENT_MUTATIONS,
  ...LOG_MUTATIONS,
  ...RETENTION_MUTATIONS,
  ...RUN_MUTATIONS,
  ...REPOSITORY_MUTATIONS,
  ...REGISTRY_MUTATIONS,
  ...PAGE_MUTATIONS,
  ...BROADCAST_MUTATIONS,
  ...CLI_MUTATIONS,
  ...STREAM_MUTATIONS,
  ...TELEMETRY_MUTATIONS,
];
