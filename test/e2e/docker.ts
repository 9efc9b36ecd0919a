// A fake of the program `docker`, because the tests have no Docker daemon. It answers kind and the action from a file,
// and records its calls. It starts no container, so the tests that use it run the real kind and the real action without
// nodes.
import { appendFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * `nodes`: the existing containers. `images`: names of the existing images. `run`: how `docker run` ends, once
 * `together` of them run. `mapped`: host address of each node port. `kubeconfig`: path of a file.
 */
export type Answers = {
  nodes: { name: string; cluster: string; state: string }[]
  images: string[]
  run: 'hangs' | { says: string; together?: number }
  mapped: Record<string, string>
  kubeconfig?: string
  server?: string
  os?: string
}

const folder = process.env['DOCKER_ANSWERS']!
const answers = JSON.parse(readFileSync(join(folder, 'answers.json'), 'utf8')) as Answers
const args = process.argv.slice(2)
const commandLine = args.join(' ')
const after = (flag: string) => args[args.indexOf(flag) + 1] ?? ''

function end(text = '', code = 0): never {
  if (text !== '') (code === 0 ? process.stdout : process.stderr).write(`${text}\n`)
  process.exit(code)
}

/** kind creates nodes concurrently, so each created and each removed container has a file of its own. */
function nodes(): Answers['nodes'] {
  const [made, gone] = ['made-', 'gone-'].map((prefix) =>
    readdirSync(folder)
      .filter((name) => name.startsWith(prefix))
      .map((name) => name.slice(prefix.length))
      .sort(),
  )
  const all = [
    ...answers.nodes,
    ...made!.map((name) => ({ name, cluster: readFileSync(join(folder, `made-${name}`), 'utf8'), state: 'Created' })),
  ]
  return all.filter(({ name }) => !gone!.includes(name))
}

function ps(): string {
  const [, cluster] = /label=io\.x-k8s\.kind\.cluster=(\S+)/.exec(commandLine) ?? []
  const rows = nodes().filter((node) => cluster === undefined || node.cluster === cluster)
  const format = after('--format')
  return rows
    .map((node) =>
      format.includes('.Label') ? node.cluster : format.includes('.Status') ? `${node.name}\t${node.state}` : node.name,
    )
    .join('\n')
}

async function run(): Promise<never> {
  rmSync(join(folder, `gone-${after('--name')}`), { force: true })
  writeFileSync(join(folder, `made-${after('--name')}`), /io\.x-k8s\.kind\.cluster=(\S+)/.exec(commandLine)?.[1] ?? '')
  while (answers.run !== 'hangs' && nodes().length < (answers.run.together ?? 1))
    await new Promise((done) => setTimeout(done, 20))
  if (answers.run !== 'hangs') end(answers.run.says, 125)
  // `docker run` ends when its container is removed.
  while (nodes().some(({ name }) => name === after('--name'))) await new Promise((done) => setTimeout(done, 50))
  end('', 137)
}

function inspect(): string {
  if (commandLine.includes('.NetworkSettings.Ports')) return (answers.server ?? '127.0.0.1:1').replace(':', '\t')
  if (commandLine.includes('io.x-k8s.kind.role'))
    return after('inspect').includes('worker') ? 'worker' : 'control-plane'
  return ''
}

appendFileSync(join(folder, 'calls.jsonl'), `${JSON.stringify(args)}\n`)
if (args[0] === '-v') end('Docker version 28.2.2, build stub')
if (args[0] === 'info')
  end(
    after('--format') === '{{.OSType}}'
      ? (answers.os ?? 'linux')
      : JSON.stringify({
          CgroupDriver: 'systemd',
          CgroupVersion: '2',
          MemoryLimit: true,
          PidsLimit: true,
          CPUShares: true,
          SecurityOptions: [],
          Driver: 'overlay2',
        }),
  )
if (args[0] === 'ps') end(ps())
if (args[0] === 'run') await run()
if (args[0] === 'rm') {
  for (const { name } of nodes()) if (args.includes(name)) writeFileSync(join(folder, `gone-${name}`), '')
  end()
}
if (args[0] === 'port') end(answers.mapped[args[2]!] ?? 'no public port', answers.mapped[args[2]!] ? 0 : 1)
if (args[0] === 'images') end(answers.images.join('\n'))
if (args[0] === 'image')
  end(
    answers.images.includes(args.at(-1)!) ? 'sha256:0' : 'No such image',
    answers.images.includes(args.at(-1)!) ? 0 : 1,
  )
if (args[0] === 'inspect') end(commandLine.includes('--type=image') ? 'x' : inspect())
if (args[0] === 'exec' && commandLine.includes('admin.conf'))
  end(answers.kubeconfig ? readFileSync(answers.kubeconfig, 'utf8') : 'no such file', answers.kubeconfig ? 0 : 1)
if (args[0] === 'network') end(args[1] === 'ls' ? '[]' : '')
end()
