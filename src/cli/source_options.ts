import process from "node:process";
import { UsageError } from "./usage_error.ts";

/** Where the command line says that the runs are. */
export interface SourceOptions {
  /** The URL of a database; by default `DATABASE_URL` of the environment. */
  databaseUrl?: string;
  /** The schema of the tables in the database. */
  schema?: string;
  /** Where a server has mounted its handler. */
  url?: string;
  /** Headers to send to the server, as `Name: value`. */
  header?: string[];
}

/** The database that is meant. */
export interface DatabaseTarget {
  readonly url: string;
  readonly schema: string | undefined;
}

/** The server that is meant. */
export interface ServerTarget {
  readonly url: URL;
  readonly headers: Headers;
}

/**
 * The server that the options name, if they name one.
 *
 * @throws {UsageError} If the options contradict each other, or one makes no sense.
 */
export function serverOf(options: SourceOptions): ServerTarget | undefined {
  const { databaseUrl, schema, url: text, header = [] } = options;
  if (text === undefined) {
    if (header.length > 0) throw new UsageError("--header needs --url");
    return undefined;
  }
  if (databaseUrl !== undefined) {
    throw new UsageError("Only one of --url and --database-url can be given");
  }
  if (schema !== undefined) throw new UsageError("--schema needs a database");
  const url = urlOf(text, ["http:", "https:"]);
  if (url === undefined) {
    throw new UsageError("The --url must begin with http:// or https://");
  }
  return { url, headers: headersOf(header) };
}

/**
 * The database that the options or the environment name.
 *
 * @throws {UsageError} If they name none or a server, or an option makes no sense.
 */
export function databaseOf(options: SourceOptions): DatabaseTarget {
  if (serverOf(options) !== undefined) {
    throw new UsageError("This needs a database: a server cannot do it");
  }
  const url = options.databaseUrl ?? process.env.DATABASE_URL;
  if (!url) {
    throw new UsageError(
      "Give --database-url or --url, or set DATABASE_URL in the environment",
    );
  }
  if (urlOf(url, ["postgres:", "postgresql:"]) === undefined) {
    throw new UsageError("The URL of the database must begin with postgres://");
  }
  return { url, schema: options.schema };
}

function urlOf(text: string, protocols: string[]): URL | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  return protocols.includes(url.protocol) ? url : undefined;
}

function headersOf(texts: readonly string[]): Headers {
  try {
    return new Headers(texts.map((text) => {
      const colon = text.indexOf(":");
      return [text.slice(0, Math.max(colon, 0)), text.slice(colon + 1)];
    }));
  } catch {
    // The error may tell the value, which may be a secret.
    throw new UsageError('A --header must look like "Name: value"');
  }
}
