// Reports an exception that nothing caught, in place of Node.js, which would print a page of minified code.
// Imports little, because it must work when the rest of the program cannot be loaded.
import { stripVTControlCharacters } from 'node:util'
import { readableStack } from './stack.ts'

/** `annotation`: as a command that GitHub's runner turns into an annotation. `text`: on standard error. */
export type DefectFormat = 'annotation' | 'text'

/**
 * From now on an uncaught exception or an unhandled rejection ends the process with exit code 1. Node.js passes both to
 * this listener. If another part of the program listens too, it has something to finish first and ends the process
 * itself.
 */
export function exitOnDefect(format: DefectFormat): void {
  let isExiting = false
  process.on('uncaughtException', (error) => {
    if (isExiting || process.listenerCount('uncaughtException') > 1) return
    isExiting = true
    const stream = format === 'annotation' ? process.stdout : process.stderr
    stream.on('error', () => process.exit(1))
    stream.write(format === 'annotation' ? annotation(error) : plainText(error), () => process.exit(1))
  })
}

/** One sentence for the person who runs the program. */
export function defectMessage(error: unknown, issues = `${home}/issues`): string {
  const message = error instanceof Error ? error.message : String(error)
  const stack = debugStack(error) === '' ? 'the stack that RUNNER_DEBUG=1 prints' : 'the stack below'
  return (
    `mesh-canary stopped because of a defect in mesh-canary itself: ${message}; ` +
    `please report it at ${issues}, with ${stack}`
  )
}

/** Empty without RUNNER_DEBUG=1. */
export function debugStack(error: unknown): string {
  return process.env['RUNNER_DEBUG'] === '1' ? readableStack(error) : ''
}

const home = 'https://github.com/OWNER/mesh-canary'

function plainText(error: unknown): string {
  const lines = [
    ...defectMessage(error)
      .split('\n')
      .map((line) => `error: ${line}`),
    debugStack(error),
  ]
  return stripVTControlCharacters(`${lines.join('\n').trimEnd()}\n`)
}

/**
 * Written by hand, because @actions/core may be what cannot be loaded. Escaped, no text in the error can become a
 * command.
 */
function annotation(error: unknown): string {
  const { GITHUB_SERVER_URL: server, GITHUB_ACTION_REPOSITORY: repository } = process.env
  const issues = server && repository ? `${server}/${repository}/issues` : undefined
  const escape = (text: string) => text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
  const stack = debugStack(error)
  const debug = stack === '' ? [] : stack.split('\n').map((line) => `::debug::${escape(line)}`)
  return [`::error title=Defect::${escape(defectMessage(error, issues))}`, ...debug, ''].join('\n')
}
