// GitHub's toolkit writes debug lines for its runner (`::debug::…`) to standard output, in one write each.
// On the command line, standard output has only the report.

/** From now on, `stream` drops these lines. */
export function dropRunnerCommands(stream: NodeJS.WriteStream): void {
  const write = stream.write.bind(stream)
  stream.write = (chunk: string | Uint8Array, ...rest: []) =>
    typeof chunk === 'string' && chunk.startsWith('::debug::') ? true : write(chunk, ...rest)
}
