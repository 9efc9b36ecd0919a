// Keeps what the run prints from being a command of GitHub's runner.

/**
 * Log lines hold what pods, events and webhooks say. The runner takes `::name::` at the start of a line for a command,
 * and `##[name]` anywhere in it (and for white space what .NET does, U+0085 too): with a character of no width inside,
 * both are only text.
 */
export function withoutRunnerCommands(text: string): string {
  return text.replace(/(^|[\r\n])([\s\u0085]*):(?=:)/g, '$1$2:\u200b').replace(/##(?=\[)/g, '#\u200b#')
}

/**
 * From now on, `stream` drops the debug lines of GitHub's toolkit (`::debug::…`), which it writes in one write each. On the
 * command line, standard output has only the report.
 */
export function dropRunnerCommands(stream: NodeJS.WriteStream): void {
  const write = stream.write.bind(stream)
  stream.write = (chunk: string | Uint8Array, ...rest: []) =>
    typeof chunk === 'string' && chunk.startsWith('::debug::') ? true : write(chunk, ...rest)
}
