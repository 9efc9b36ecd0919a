// Keeps what the run prints from being a command of GitHub's runner. Pure.

/**
 * Log lines hold what pods, events and webhooks say. The runner takes `::name::` at the start of a line for a command,
 * and `##[name]` anywhere in it (and for white space what .NET does, U+0085 too): with a character of no width inside,
 * both are only text.
 */
export function withoutRunnerCommands(text: string): string {
  return text.replace(/(^|[\r\n])([\s\u0085]*):(?=:)/g, '$1$2:\u200b').replace(/##(?=\[)/g, '#\u200b#')
}
