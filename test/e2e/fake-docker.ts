// A fake of the program `docker`, which records its calls. `docker run` fails as if a port were occupied, once all nodes
// were asked for: kind starts them at the same time.
import { appendFileSync, readFileSync } from 'node:fs'

const calls = process.env['DOCKER_CALLS']!
const nodes = Number(process.env['DOCKER_NODES'])
const args = process.argv.slice(2)
const recorded = () =>
  readFileSync(calls, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as string[])
const named = (call: string[]) => call[call.indexOf('--name') + 1] ?? ''

/** The containers that were asked for and not removed since. */
function containers(): string[] {
  const all = new Set<string>()
  for (const call of recorded()) {
    if (call[0] === 'run') all.add(named(call))
    if (call[0] === 'rm') call.forEach((name) => all.delete(name))
  }
  return [...all].sort()
}

const info = {
  CgroupDriver: 'systemd',
  CgroupVersion: '2',
  MemoryLimit: true,
  PidsLimit: true,
  CPUShares: true,
  SecurityOptions: [],
  Driver: 'overlay2',
}

appendFileSync(calls, `${JSON.stringify(args)}\n`)
if (args[0] === '-v') console.log('Docker version 28.2.2, build stub')
if (args[0] === 'info') console.log(args.includes('{{.OSType}}') ? 'linux' : JSON.stringify(info))
if (args[0] === 'network') console.log(args[1] === 'ls' ? '[]' : '')
if (args[0] === 'ps') {
  const format = args[args.indexOf('--format') + 1] ?? ''
  for (const name of containers())
    console.log(format.includes('.Status') ? `${name}\tCreated` : format.includes('.Label') ? 'shop' : name)
}
if (args[0] === 'inspect') console.log(args.includes('--type=image') ? 'x' : '')
if (args[0] === 'run') {
  while (containers().length < nodes) await new Promise((done) => setTimeout(done, 20))
  const bind = 'Bind for 127.0.0.1:8080 failed: port is already allocated'
  console.error(`docker: Error response from daemon: driver failed programming external connectivity on x: ${bind}`)
  process.exit(125)
}
