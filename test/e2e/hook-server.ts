// A server for the webhooks of a promotion, in the mesh's network.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { onTestFinished } from 'vitest'
import type { TestCluster } from './world.ts'

type Call = { type: string; phase: string; canaryWeight: number; metadata: Record<string, string> }
type HookServer = { url: string; calls: Call[]; approve: () => void }

/** `/always` approves always, `/third` from the third request on, and `/told` after `approve`. Each request is recorded. */
export async function startHookServer(testCluster: TestCluster): Promise<HookServer> {
  const program = `
    let times = 0
    let isTold = false
    process.stdin.on('data', () => (isTold = true))
    const server = require('node:http').createServer((request, response) => {
      let text = ''
      request.on('data', (chunk) => (text += chunk)).on('end', () => {
        console.log(text)
        const approves = { '/always': () => true, '/third': () => ++times >= 3, '/told': () => isTold }
        response.writeHead(approves[request.url]() ? 200 : 403).end()
      })
    }).listen(0, '127.0.0.1', () => console.log(server.address().port))`
  const [command = '', ...args] = testCluster.runner.enter!([process.execPath, '-e', program])
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill())
  const lines = createInterface({ input: child.stdout })
  const [port] = (await once(lines, 'line')) as [string]
  const calls: Call[] = []
  lines.on('line', (line) => calls.push(JSON.parse(line) as Call))
  return { url: `http://127.0.0.1:${port}`, calls, approve: () => void child.stdin.write('approve') }
}
