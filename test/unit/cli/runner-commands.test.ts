import { debug } from '@actions/core'
import { beforeEach, expect, test } from 'vitest'
import { dropRunnerCommands } from '../../../src/cli/runner-commands.ts'

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

test('the filter drops the debug lines of the toolkit and nothing else', () => {
  dropRunnerCommands(process.stdout)
  debug('checking cache: /tmp/x')
  process.stdout.write('{"outcome":"success"}\n')
  process.stdout.write(Buffer.from('as bytes\n'))
  process.stdout.write('text with ::debug:: in it\n')
  expect(printed).toEqual(['{"outcome":"success"}\n', 'as bytes\n', 'text with ::debug:: in it\n'])
})

test('the filter still calls the callback of each write', async () => {
  process.stdout.write = ((_: string, done: () => void) => (done(), true)) as typeof process.stdout.write
  dropRunnerCommands(process.stdout)
  await new Promise<void>((resolve) => process.stdout.write('', () => resolve()))
})
