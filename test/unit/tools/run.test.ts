import { expect, test } from 'vitest'
import { run } from '../../../src/tools/run.ts'

const forever = new AbortController().signal
/** Node stands in for istioctl: what is tested is how any command is run. */
const node = (script: string, args: string[] = [], onLine?: (line: string) => void, signal = forever) =>
  run(process.execPath, ['-e', script, ...args], signal, onLine)

test('returns both streams and the exit code', async () => {
  expect(await node('console.log("out"); console.error("err"); process.exitCode = 3')).toEqual({
    code: 3,
    stdout: 'out\n',
    stderr: 'err\n',
  })
})

test('passes arguments unchanged: no shell reads them', async () => {
  const args = ['a b', '$HOME', '`id`', '; exit 1', '"', '*']
  const { stdout } = await node('console.log(JSON.stringify(process.argv.slice(1)))', args)
  expect(JSON.parse(stdout)).toEqual(args)
})

test('reports each line once and whole, without blank lines, also a last line without an end', async () => {
  const lines: string[] = []
  await node(
    'process.stdout.write("one\\ntw"); setImmediate(() => process.stdout.write("o\\r\\n\\nthree\\rfour"))',
    [],
    (line) => lines.push(line),
  )
  expect(lines).toEqual(['one', 'two', 'three', 'four'])
})

test('gives a nonzero code for a program that is killed', async () => {
  expect((await node('process.kill(process.pid, "SIGKILL")')).code).toBe(128)
})

test('rejects when the program does not exist', async () => {
  await expect(run('/no/such/istioctl', [], forever)).rejects.toThrow('ENOENT')
})

test('ends the program when the run is cancelled', async () => {
  const controller = new AbortController()
  const running = node(
    'console.log("begun"); setInterval(() => {}, 1000)',
    [],
    () => controller.abort(),
    controller.signal,
  )
  await expect(running).rejects.toThrow('aborted')
})
