import type postgres from "postgres";

/** The tables that belong to this package alone. */
const TABLES = [
  "pipeline_run_events",
  "pipeline_run_leases",
  "pipeline_run_payload_fields",
  "pipeline_run_results",
];

const PARTITIONS = 4;

/** Spreads empty tables over hash partitions, as the module doc of `./postgres` says. */
export async function partition(sql: postgres.Sql): Promise<void> {
  for (const table of TABLES) {
    const partitions = Array.from({ length: PARTITIONS }, (_, i) => `
      create table ${table}_${i} partition of ${table}
        for values with (modulus ${PARTITIONS}, remainder ${i});`);
    await sql.unsafe(`
      alter table ${table} rename to undivided;
      create table ${table} (like undivided including all)
        partition by hash (pipeline_run_id);
      ${partitions.join("\n")}
      drop table undivided;`).simple();
  }
}
