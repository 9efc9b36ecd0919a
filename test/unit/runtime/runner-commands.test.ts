import { debug } from '@actions/core'
import { beforeEach, describe, expect, test } from 'vitest'
import { dropRunnerCommands, withoutRunnerCommands } from '../../../src/runtime/runner-commands.ts'

/**
 * The commands that a runner finds in these lines: `::name::` after blanks at the start of a line, and `##[name]`
 * anywhere.
 */
function commandsIn(text: string): string[] {
  return text.split(/\r\n|\r|\n/).flatMap((line) => {
    const atStart = /^[\s\u0085]*::(.*?)::/.exec(line)?.[1]
    const anywhere = [...line.matchAll(/##\[([^\]]*)\]/g)].map((match) => match[1]!)
    return [...(atStart === undefined ? [] : [atStart]), ...anywhere]
  })
}

describe('a line in the log of the runner', () => {
  test.each([
    '::error::it was not us',
    '::add-mask::a',
    '  \t::stop-commands::pause',
    'a pod said:\n::set-output name=verdict::promoted',
    'a pod said:\r::warning::x',
    'a pod said:\r\n::warning::x\r\n  ::error::y\n\n::debug::z',
    ':::error::three colons',
    '::::error::four',
    '::error::::error::twice',
    '\u00a0::error::after a blank that does not break',
    '\u0085::error::after a blank that only .NET knows',
    '##[error]x',
    'in the middle ##[group]y ##[endgroup] and again',
    '###[error]three',
    '####[error]four',
    '::##[error]both',
  ])('has no command left of %j', (line) => {
    expect(commandsIn(line)).not.toEqual([])
    expect(commandsIn(withoutRunnerCommands(line))).toEqual([])
  })

  test.each(['::error::x', '##[error]x', 'a\n  ::b::c ##[d]'])('reads as before: %j', (line) => {
    expect(withoutRunnerCommands(line).replaceAll('\u200b', '')).toBe(line)
    expect(withoutRunnerCommands(line)).not.toBe(line)
  })
})

test.each([
  'at weight 25: the canary 100, stable 300',
  'a::b',
  'std::string is no command',
  '[::1]:8080',
  '## a heading',
  'issue ##7 [x]',
  ': one colon',
  '',
])('a line without a command does not change: %j', (line) => {
  expect(commandsIn(line)).toEqual([])
  expect(withoutRunnerCommands(line)).toBe(line)
})

describe('the filter of standard output', () => {
  const printed: string[] = []

  beforeEach(() => {
    printed.length = 0
    const original = Object.getOwnPropertyDescriptor(process.stdout, 'write')
    process.stdout.write = (chunk) => Boolean(printed.push(String(chunk)))
    return () => {
      if (original) Object.defineProperty(process.stdout, 'write', original)
      else Reflect.deleteProperty(process.stdout, 'write')
    }
  })

  test('drops the debug lines of the toolkit and nothing else', () => {
    dropRunnerCommands(process.stdout)
    debug('checking cache: /tmp/x')
    process.stdout.write('{"outcome":"success"}\n')
    process.stdout.write(Buffer.from('as bytes\n'))
    process.stdout.write('text with ::debug:: in it\n')
    expect(printed).toEqual(['{"outcome":"success"}\n', 'as bytes\n', 'text with ::debug:: in it\n'])
  })

  test('still calls the callback of each write', async () => {
    process.stdout.write = ((_: string, done: () => void) => (done(), true)) as typeof process.stdout.write
    dropRunnerCommands(process.stdout)
    await new Promise<void>((resolve) => process.stdout.write('', () => resolve()))
  })
})
