// The summary that `npm start` prints. The tests start processes, because colours depend on the stream and the
// environment.
import { execFileSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'

const table = '| step | verdict |\n| --- | --- |\n| 5 % | pass |\n'
const program = `import { renderMarkdown } from './dev/markdown.ts'; console.log(renderMarkdown(${JSON.stringify(table)}, process.stdout))`
const node = [process.execPath, '--no-warnings', '--input-type=module', '--eval', program]

function print([command = '', ...args]: string[], env: Record<string, string> = {}): string {
  return execFileSync(command, args, {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], TERM: 'xterm-256color', ...env },
  })
}

describe('a table in the summary', () => {
  test('has no colours in a pipe, but the same text', () => {
    const text = print(node)
    expect(text).not.toContain('\u001b')
    expect(text).toMatch(/│ step │ verdict │\n[^\n]+\n│ 5 % {2}│ pass {4}│/)
  })

  test('has colours in a pipe when FORCE_COLOR is set', () => {
    expect(print(node, { FORCE_COLOR: '1' })).toContain('\u001b[')
  })

  test.runIf(process.platform === 'linux')('has colours on a terminal, unless NO_COLOR is set', () => {
    // `script` runs the command on a pseudo-terminal.
    const quoted = node.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
    const onTerminal = ['script', '--quiet', '--return', '--command', quoted, '/dev/null']
    expect(print(onTerminal)).toContain('\u001b[')
    expect(print(onTerminal, { NO_COLOR: '1' })).not.toContain('\u001b')
  })
})
