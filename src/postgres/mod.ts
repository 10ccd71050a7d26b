/**
 * A repository of pipeline runs in Postgres, through which instances share their
 * runs.
 *
 * ```ts ignore
 * import { PipelineRunRegistry } from "@pipeline/run-registry";
 * import { connect } from "@pipeline/run-registry/postgres";
 *
 * await using repository = await connect("postgres://localhost/postgres");
 * await using registry = new PipelineRunRegistry({ repository });
 * await registry.registerInline({ pipelineName: "ingest" }, () => {});
 * ```
 *
 * Sections: connecting, tables, migrations, instances, retention, notifications
 * and polling, failures, costs, many instances, options, limits, permissions,
 * troubleshooting.
 *
 * ## Connecting
 *
 * `connect()` takes a URL, or `DATABASE_URL` of the environment, or the `PG*`
 * variables. It creates missing tables, and cancels statements that Postgres does
 * not answer in time, so that they do not pile up there. To use your own client,
 * pass it to `new PostgresPipelineRunRepository(client)` and call `migrate()`.
 *
 * `connect()` sends single statements, so it works through a transaction pooler.
 * It prepares statements if there is no pooler, which it detects. Poolers accept
 * LISTEN and drop it: pass a client that reaches Postgres directly as `listener`,
 * or `false`.
 *
 * A read replica, `connect(url, { reader: postgres(replicaUrl) })`, can serve
 * lists and old events. It is never asked for what must be new.
 *
 * ## Tables
 *
 * They are in the first schema of the search path, or in that of the option
 * `schema`.
 *
 * | table                         | what it has                                              | deleted after                                                          |
 * | ----------------------------- | -------------------------------------------------------- | ---------------------------------------------------------------------- |
 * | `pipeline_runs`               | the audit trail, a row for each transition, as in cognee | `auditRetention`, but for the newest row of each pipeline on a dataset |
 * | `pipeline_run_payload_fields` | the payload fields of runs                               | `payloadRetention`                                                     |
 * | `pipeline_run_results`        | the results of runs                                      | `payloadRetention`                                                     |
 * | `pipeline_run_events`         | the log                                                  | `logRetention`                                                         |
 * | `pipeline_run_leases`         | who runs a run, and until when                           | `logRetention`, 10 minutes at least                                    |
 * | `pipeline_run_migrations`     | the migrations that were taken                           |                                                                        |
 *
 * It also works with a `pipeline_runs` table that cognee made; the rows of its
 * operations that are no pipeline runs are left out everywhere. A result is
 * written in the statement of its COMPLETED row. Every statement begins with its
 * name in a comment, for `pg_stat_activity`.
 *
 * ## Migrations
 *
 * Migrations are numbered steps, recorded in `pipeline_run_migrations`. Each may
 * run while older instances write, and `migrate()` takes those that are missing,
 * also on tables that are older than the record. Tables of a newer release are
 * refused: pass `migrate: false` to go back to a release that they still suit. To
 * run migrations yourself, use `schemaSql`, which takes all steps, or the list
 * `migrations`.
 *
 * ## Instances
 *
 * The registry behaves the same on every instance that shares the database.
 *
 * - **Leases.** The instance that runs a run holds a lease of 60 s on it
 *   (`leaseDuration`) and renews it every 10 s (`renewInterval`). Registering a
 *   run id that is live on any instance rejects with a `RunAlreadyActiveError`. A
 *   run with a random id never waits for its lease.
 * - **The log.** Every event goes to `pipeline_run_events`, numbered by the holder
 *   of the lease. The work does not wait for its Yields to be written; the last
 *   row, the last event and the release of the lease are one statement, fenced by
 *   the lease.
 * - **Following** reads the log after a number, when a notification or a poll says
 *   that the run has moved. A subscriber on the run's own instance reads from
 *   memory, and from the log what memory has lost: with a log nobody lags.
 *
 * `shared: false` switches all of it off: then a run has its rows, payload fields
 * and result and nothing else.
 *
 * ## Retention
 *
 * A sweep deletes the events and leases of runs that ended more than a day ago
 * (`logRetention`). If such a run's id is used again, its events are numbered from
 * 1 again. Payload fields and results stay for ever, unless `payloadRetention`
 * says for how long, and so does the audit trail, unless `auditRetention` does;
 * the newest row of each pipeline on a dataset always stays, since qualification
 * depends on it. One instance at a time deletes from a table, a thousand rows a
 * statement; after each statement it pauses for as long as the statement took.
 *
 * ## Notifications and polling
 *
 * **Notifications** cost the whole server: PostgreSQL lets only one transaction
 * that notifies commit at a time. So a writer notifies only of runs that another
 * instance follows, in a statement of its own that does not wait for the disk. One
 * such statement is under way at a time, and the writer then pauses three times as
 * long as it took. Followers record their interest in the run's lease, for a
 * minute at a time; the writer's next commit finds it there.
 *
 * **Polling** finds what no notification told, with one query for all runs: 5 ms
 * after the last event, or 50 ms if the writer notifies, and then after twice as
 * long each time, up to a second (`pollInterval`). A lost notification costs a
 * poll, never an event.
 *
 * **Listening** can fail silently: transaction poolers accept LISTEN and drop it,
 * and it may fail after a failover. An instance that has heard nothing for 30 s
 * notifies itself. If that does not arrive within 3 s, it warns once, polls, and
 * listens anew, less and less often.
 *
 * ## Failures
 *
 * **When an instance dies**, its runs end as `Errored` with `"lease_expired"`: the
 * first sweep of any instance after the lease has expired gives notice and ends
 * them 20 s later (two `renewInterval`s), and `status()` reports it even before.
 * An instance that was only frozen finds its lease lost, fires the signal of its
 * work with a `LeaseLostError`, and can no longer write an ending.
 *
 * **When Postgres is away** for longer than a lease, no live run is ended: the
 * notice begins when Postgres is back, and live instances renew their leases
 * within seconds. Only if Postgres goes away a second time before they could, and
 * for 20 to 30 s, are their runs ended.
 *
 * ## Costs
 *
 * | what                             | how much                                                                                                                                              |
 * | -------------------------------- | ----------------------------------------------------------------------------------------------------------------------------------------------------- |
 * | connections of an instance       | up to `max` (4) for statements, and one to listen while it follows or runs; none 20 s later                                                           |
 * | statements for a run             | its share of the group commits while it is live; one more to claim an id that you gave, two if it was used before                                     |
 * | statements while nothing happens | one every 10 s while runs are live, one a second while somebody follows, three a minute to sweep, and at most two to see whether notifications arrive |
 * | notifications                    | none for runs that nobody follows elsewhere; one at a time, for all that gathers meanwhile                                                            |
 *
 * ## Many instances, much data
 *
 * Group commits adapt: while commits take much longer than usual, items gather for
 * up to 100 ms, so that many instances share a busy database in few large commits.
 * With 64 instances of four runs with 50 events/s each, on two cores that they
 * share with Postgres, a follower sees an event after 90 ms (p50), with NOTIFY in
 * every commit after 299 ms; with 16 instances it is 9 ms and 15 ms.
 *
 * A run without an id of yours is recorded up to 10 ms after it began, so that most
 * short ones begin and end in one statement, without a lease. Alone, a run of 2 ms
 * then takes Postgres a third of the time, and eight instances with eight such runs
 * each make 1.6 times as many. If the instance dies before, there is no trace of the
 * run. Give a run an id if other instances must know it at once: it is claimed before
 * it begins. The ids of runs and rows are UUIDs of version 7, so indexes grow at their
 * ends.
 *
 * One Postgres with 100 connections carries 20 busy instances with the default
 * `max` of 4, and 50 with `max: 1`. Behind a transaction pooler it matters what
 * the instances do, not how many they are: a core of Postgres carries 1,800
 * instances that publish once a second, or 2,500 that follow a quiet run.
 * Notifications wake every instance that listens, so from about 100 instances on
 * pass `listener: false`. `bench/FLEET.md` of the repository has the arithmetic
 * for 1,000 and 10,000 instances.
 *
 * Every statement of a run is about one `pipeline_run_id`, which is in every
 * unique constraint of the tables that are ours alone. So they can be spread over
 * hash partitions, on which the tests of the repository pass too. For each of
 * `pipeline_run_events`, `pipeline_run_leases`, `pipeline_run_payload_fields` and
 * `pipeline_run_results`, while they are empty:
 *
 * ```sql
 * alter table pipeline_run_events rename to undivided;
 * create table pipeline_run_events (like undivided including all)
 *   partition by hash (pipeline_run_id);
 * create table pipeline_run_events_0 partition of pipeline_run_events
 *   for values with (modulus 2, remainder 0);
 * create table pipeline_run_events_1 partition of pipeline_run_events
 *   for values with (modulus 2, remainder 1);
 * drop table undivided;
 * ```
 *
 * A group commit then writes to every partition that one of its runs is in.
 * Statements about many runs ask all partitions: renewing, polling, sweeping.
 * `pipeline_runs` stays as cognee made it.
 *
 * Citus spreads the same tables over servers (`create_distributed_table`), where a
 * group commit that touches several shards is a two-phase commit. The package is
 * not tested there, and Citus
 * [allows](https://docs.citusdata.com/en/stable/develop/reference_workarounds.html)
 * `SELECT … FOR UPDATE`, with which leases are renewed and reaped, within one
 * shard only.
 *
 * ## Options
 *
 * | `ConnectOptions` | default                                                    | what it is                                                      |
 * | ---------------- | ---------------------------------------------------------- | --------------------------------------------------------------- |
 * | `max`            | `4`                                                        | how many connections to hold, not counting the one that listens |
 * | `prepare`        | `true` unless there is a pooler, which one query finds out | whether to prepare statements; a pooler must support it         |
 * | `migrate`        | `true`                                                     | whether to run `migrate()`                                      |
 *
 * `connect()` also takes the following, but for `onClose`:
 *
 * | `PostgresPipelineRunRepositoryOptions` | default                                    | what it is                                                                                                      |
 * | -------------------------------------- | ------------------------------------------ | --------------------------------------------------------------------------------------------------------------- |
 * | `statementTimeout`                     | `5_000`                                    | how long to wait for the answer to one statement, in ms; with `connect()` also for a connection                 |
 * | `writeTimeout`                         | `10_000`                                   | how long to retry a write while Postgres cannot be reached, in ms; the rows of runs are retried until `close()` |
 * | `maxQueuedBytes`                       | `67_108_864`                               | how many bytes may be pending                                                                                   |
 * | `onWarning`                            | `console.warn`                             | called when writing begins to fail; it is retried until it succeeds                                             |
 * | `shared`                               | `true`                                     | whether instances share their runs                                                                              |
 * | `leaseDuration`                        | `60_000`                                   | how long a lease is, in ms                                                                                      |
 * | `renewInterval`                        | `10_000`                                   | how often leases are renewed, in ms; it should not be shorter than `statementTimeout`                           |
 * | `pollInterval`                         | `1_000`                                    | how often to query for events of other instances' runs while no notification arrives, in ms                     |
 * | `logRetention`                         | `86_400_000`                               | how long the events of a run and its lease stay after its end, in ms                                            |
 * | `payloadRetention`                     | `Infinity`                                 | how long payload fields and results stay, in ms                                                                 |
 * | `auditRetention`                       | `Infinity`                                 | how long the rows of the audit trail stay, in ms                                                                |
 * | `schema`                               | the search path of the connection          | the schema of the tables, which `migrate()` makes if need be                                                    |
 * | `listener`                             | the client                                 | the client that listens for notifications, or `false` for none                                                  |
 * | `reader`                               | none                                       | a client of a read replica                                                                                      |
 * | `telemetry` | none | where to report commits, what waits, and the runs of dead instances: `createTelemetry()` of `./telemetry` |
 * | `onClose`                              | nothing: the owner of the client closes it | called at the end of `close()`                                                                                  |
 *
 * ## Limits
 *
 * - A dead instance cannot be told from a frozen one. The lease fences writes to
 *   these tables, not what the work does elsewhere.
 * - If the only instance dies, nobody ends its runs until another one starts.
 * - If the database cannot keep up, Yields are dropped from the log once 64 MiB
 *   are pending (`maxQueuedBytes`); readers of the log get `Lagged` with the exact
 *   number. Endings are never dropped.
 * - `durable` means committed, as Postgres is set up: with
 *   `synchronous_commit = off` or an asynchronous standby, a crash can lose the
 *   last moments. The same can happen, rarely, if a synchronous standby does not
 *   answer: a request to cancel a statement can reach the commit behind it, and
 *   Postgres then commits without the standby.
 * - The database must have the encoding UTF8 and `array_nulls` on, as by default.
 *   Otherwise rows with other characters, or all rows, are refused: the outcomes
 *   say `durable: false`, and `onWarning` is called.
 * - Give the registry a client of its own: postgres.js passes answers of a busy
 *   connection to the wrong callers after it fails to serialise a parameter of any
 *   caller. The registry checks that the answers to its writes are its own.
 *
 * ## Permissions
 *
 * `--allow-net=HOST:PORT` and `--allow-env=DATABASE_URL,PG*`.
 *
 * ## Troubleshooting
 *
 * | symptom                                                              | cause                                                                                                               | what to do                                                                                                      |
 * | -------------------------------------------------------------------- | ------------------------------------------------------------------------------------------------------------------- | --------------------------------------------------------------------------------------------------------------- |
 * | `NOTIFY does not arrive: news arrives by polling`                    | LISTEN goes through a transaction pooler, or failed after a failover                                                | pass a direct client as `listener`, or `listener: false`; polling goes on, and no event is lost                 |
 * | `RunAlreadyActiveError` after a crash                                | the lease of the dead instance is valid for up to 60 s, and the run is ended 20 s after a notice                    | register again later, or with another id; call `registry.shutdown()` before a process ends, which ends its runs |
 * | registering a given id takes 20 s                                    | the lease of its former run has expired, and the instance gets two `renewInterval`s to renew it                     | as above                                                                                                        |
 * | runs end with `"lease_expired"`, or a `signal` with `LeaseLostError` | the instance died, was frozen (also by work that never awaits), or could not reach Postgres for longer than a lease | let work await, or raise `leaseDuration`                                                                        |
 * | Postgres refuses the parameters `channel_binding` or `pgbouncer`     | a client of yours sends what a provider put into the URL; `connect()` leaves them out                               | take them out of the URL, or use `connect()`                                                                    |
 * | statements fail behind a pooler with `prepare: true`                 | the pooler does not support prepared statements                                                                     | leave `prepare` out                                                                                             |
 * | `Writing to Postgres failed and is tried again`                      | Postgres cannot be reached or refuses; `cause` says why                                                             | nothing if it passes: writes are retried                                                                        |
 * | a reader of the log gets `Lagged`                                    | Yields were dropped beyond `maxQueuedBytes`: Postgres cannot keep up                                                | publish less (`yieldThrottle`), or raise the bound                                                              |
 * | `durable: false` and no row, though Postgres answers                 | the encoding of the database is not UTF8, or `array_nulls` is off                                                   | change the database                                                                                             |
 * | `The tables have version …, but this release knows only …`           | a newer release has migrated them                                                                                   | update the package, or pass `migrate: false`                                                                    |
 * | `Table … lacks the columns …`, `must have UUIDs in the columns …`    | the table has other columns than those of cognee and of this package                                                | choose another `schema`                                                                                         |
 * | too many connections                                                 | an instance holds up to five                                                                                        | a smaller `max`, `listener: false`, or a transaction pooler                                                     |
 *
 * @module
 */
export type { PostgresClient, StatementOptions } from "./client/client.ts";
export { connect, type ConnectOptions } from "./connect.ts";
export type { PostgresPipelineRunRepositoryOptions } from "./options.ts";
export { PostgresPipelineRunRepository } from "./postgres_repository.ts";
export { type Migration, migrations, schemaSql } from "./sql/migrations.ts";
