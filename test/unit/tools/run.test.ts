import { expect, test } from 'vitest'
import { run } from '../../../src/tools/run.ts'

const forever = new AbortController().signal
/** Node stands in for istioctl: what is tested is how any command is run. */
const node = (script: string, args: string[] = [], onLine?: (line: string) => void, signal = forever) =>
  run(process.execPath, ['-e', script, ...args], signal, onLine)

test('both streams and the exit code come back', async () => {
  expect(await node('console.log("out"); console.error("err"); process.exitCode = 3')).toEqual({
    code: 3,
    stdout: 'out\n',
    stderr: 'err\n',
  })
})

test('arguments arrive as they are: no shell reads them', async () => {
  const args = ['a b', '$HOME', '`id`', '; exit 1', '"', '*']
  const { stdout } = await node('console.log(JSON.stringify(process.argv.slice(1)))', args)
  expect(JSON.parse(stdout)).toEqual(args)
})

test('each line is told once, whole, without blank ones, the last without an end too', async () => {
  const lines: string[] = []
  await node(
    'process.stdout.write("one\\ntw"); setImmediate(() => process.stdout.write("o\\r\\n\\nthree\\rfour"))',
    [],
    (line) => lines.push(line),
  )
  expect(lines).toEqual(['one', 'two', 'three', 'four'])
})

test('a command that is killed has not succeeded', async () => {
  expect((await node('process.kill(process.pid, "SIGKILL")')).code).toBe(128)
})

test('a command that is not there rejects', async () => {
  await expect(run('/no/such/istioctl', [], forever)).rejects.toThrow('ENOENT')
})

test('a cancelled run ends its command', async () => {
  const controller = new AbortController()
  const running = node(
    'console.log("begun"); setInterval(() => {}, 1000)',
    [],
    () => controller.abort(),
    controller.signal,
  )
  await expect(running).rejects.toThrow('aborted')
})
