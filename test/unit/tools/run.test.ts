import { expect, test } from 'vitest'
import { runProgram } from '../../../src/tools/run.ts'

const forever = new AbortController().signal
/** Node stands in for istioctl, because the tests check how any command is run. */
const node = (script: string, args: string[] = [], onLine?: (line: string) => void, signal = forever) =>
  runProgram(process.execPath, ['-e', script, ...args], signal, onLine)

test('run returns both streams and the exit code', async () => {
  expect(await node('console.log("out"); console.error("err"); process.exitCode = 3')).toEqual({
    code: 3,
    stdout: 'out\n',
    stderr: 'err\n',
  })
})

test('run passes arguments unchanged, without a shell', async () => {
  const args = ['a b', '$HOME', '`id`', '; exit 1', '"', '*']
  const { stdout } = await node('console.log(JSON.stringify(process.argv.slice(1)))', args)
  expect(JSON.parse(stdout)).toEqual(args)
})

test('run reports each line once and whole, without blank lines, and also a last line without a newline', async () => {
  const lines: string[] = []
  await node(
    'process.stdout.write("one\\ntw"); setImmediate(() => process.stdout.write("o\\r\\n\\nthree\\rfour"))',
    [],
    (line) => lines.push(line),
  )
  expect(lines).toEqual(['one', 'two', 'three', 'four'])
})

test('run returns a nonzero exit code for a program that is killed', async () => {
  expect((await node('process.kill(process.pid, "SIGKILL")')).code).toBe(128)
})

test('run rejects when the program does not exist', async () => {
  await expect(runProgram('/no/such/istioctl', [], forever)).rejects.toThrow('ENOENT')
})

test('run ends the program when the run is cancelled', async () => {
  const controller = new AbortController()
  const running = node(
    'console.log("begun"); setInterval(() => {}, 1000)',
    [],
    () => controller.abort(),
    controller.signal,
  )
  await expect(running).rejects.toThrow('aborted')
})
