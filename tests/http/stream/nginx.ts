import { accepts, hasProgram, randomPort } from "../../server_program.ts";

/** A shared cache in front of a server. */
export interface Cache extends AsyncDisposable {
  readonly origin: string;
}

/** Whether there is an nginx on this machine; it says so where there is none. */
export function hasNginx(): Promise<boolean> {
  return hasProgram("nginx", "-v", "a cache");
}

/** Starts an nginx that caches what the server on a port allows. */
export async function startCache(serverPort: number): Promise<Cache> {
  const port = randomPort();
  const folder = await Deno.makeTempDir({ prefix: "nginx_" });
  const config = `${folder}/nginx.conf`;
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/${name};`);
  await Deno.writeTextFile(
    config,
    `daemon off;
pid ${folder}/nginx.pid;
worker_processes 4;
error_log ${folder}/error.log;
${Deno.uid() === 0 ? "user root;" : ""}
events { worker_connections 32768; }
http {
  access_log off;
  ${temporary.join("\n  ")}
  proxy_cache_path ${folder}/cache keys_zone=runs:10m;
  server {
    listen 127.0.0.1:${port} backlog=32768 reuseport;
    location / {
      proxy_pass http://127.0.0.1:${serverPort};
      proxy_cache runs;
      proxy_cache_key $request_uri;
      # Of requests for the same, one goes on; the others wait for its answer.
      proxy_cache_lock on;
      proxy_cache_lock_age 60s;
      proxy_cache_lock_timeout 60s;
    }
  }
}
`,
  );
  const child = new Deno.Command("nginx", {
    args: ["-e", `${folder}/error.log`, "-c", config],
    stdout: "null",
    stderr: "null",
  }).spawn();
  await accepts(port);
  return {
    origin: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
      await Deno.remove(folder, { recursive: true });
    },
  };
}
