// Stands in for the program `docker`, which has no daemon here: it answers what kind and the action ask of it from a file, and keeps
// what it was asked. Nothing is started: what is real in the tests with it is kind, and the action.
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** `nodes`: the containers that there are. `images`: names of those. `run`: how `docker run` ends. `mapped`: of node ports. `kubeconfig`: a file. */
export type Answers = {
  nodes: { name: string; cluster: string; state: string }[]
  images: string[]
  run: 'hangs' | { says: string }
  mapped: Record<string, string>
  kubeconfig?: string
  server?: string
  os?: string
}

const folder = process.env['DOCKER_ANSWERS']!
const file = join(folder, 'answers.json')
const answers = JSON.parse(readFileSync(file, 'utf8')) as Answers
const args = process.argv.slice(2)
const flat = args.join(' ')
const after = (flag: string) => args[args.indexOf(flag) + 1] ?? ''

function end(text = '', code = 0): never {
  if (text !== '') (code === 0 ? process.stdout : process.stderr).write(`${text}\n`)
  process.exit(code)
}

function ps(): string {
  const [, cluster] = /label=io\.x-k8s\.kind\.cluster=(\S+)/.exec(flat) ?? []
  const rows = answers.nodes.filter((node) => cluster === undefined || node.cluster === cluster)
  const format = after('--format')
  return rows.map((node) => (format.includes('.Label') ? node.cluster : format.includes('.Status') ? `${node.name}\t${node.state}` : node.name)).join('\n')
}

async function run(): Promise<never> {
  const [name, cluster = ''] = [after('--name'), /io\.x-k8s\.kind\.cluster=(\S+)/.exec(flat)?.[1]]
  answers.nodes.push({ name, cluster, state: 'Created' })
  writeFileSync(file, JSON.stringify(answers))
  if (answers.run !== 'hangs') end(answers.run.says, 125)
  await new Promise((done) => setTimeout(done, 600_000))
  end()
}

function inspect(): string {
  if (flat.includes('.NetworkSettings.Ports')) return (answers.server ?? '127.0.0.1:1').replace(':', '\t')
  if (flat.includes('io.x-k8s.kind.role')) return after('inspect').includes('worker') ? 'worker' : 'control-plane'
  return ''
}

appendFileSync(join(folder, 'asked.jsonl'), `${JSON.stringify(args)}\n`)
if (args[0] === '-v') end('Docker version 28.2.2, build stub')
if (args[0] === 'info') end(after('--format') === '{{.OSType}}' ? (answers.os ?? 'linux') : JSON.stringify({ CgroupDriver: 'systemd', CgroupVersion: '2', MemoryLimit: true, PidsLimit: true, CPUShares: true, SecurityOptions: [], Driver: 'overlay2' }))
if (args[0] === 'ps') end(ps())
if (args[0] === 'run') await run()
if (args[0] === 'rm') {
  answers.nodes = answers.nodes.filter(({ name }) => !args.includes(name))
  writeFileSync(file, JSON.stringify(answers))
  end()
}
if (args[0] === 'port') end(answers.mapped[args[2]!] ?? 'no public port', answers.mapped[args[2]!] ? 0 : 1)
if (args[0] === 'images') end(answers.images.join('\n'))
if (args[0] === 'image') end(answers.images.includes(args.at(-1)!) ? 'sha256:0' : 'No such image', answers.images.includes(args.at(-1)!) ? 0 : 1)
if (args[0] === 'inspect') end(flat.includes('--type=image') ? 'x' : inspect())
if (args[0] === 'exec' && flat.includes('admin.conf')) end(answers.kubeconfig ? readFileSync(answers.kubeconfig, 'utf8') : 'no such file', answers.kubeconfig ? 0 : 1)
if (args[0] === 'network') end(args[1] === 'ls' ? '[]' : '')
end()
