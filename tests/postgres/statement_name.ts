/** The name of one of the repository's statements, from the comment it begins with. */
export function statementName(query: string): string | undefined {
  return /^\/\* (.+?) \*\//.exec(query)?.[1];
}
