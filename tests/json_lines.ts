/** The values that a stream of bytes has as JSON, a line each, until it ends. */
export async function* jsonLinesOf<T>(
  bytes: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<T> {
  let rest = "";
  for await (const chunk of bytes.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    for (const line of lines) yield JSON.parse(line);
  }
}
