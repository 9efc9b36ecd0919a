// npm run mesh -- build | up | down | status | exec -- CMD … | kind build | kind up | kind down
import { build, downAll, run, status, up } from './index.ts'
import { buildKind, kindDownAll, kindUp } from './kind/index.ts'

const usage = `Usage: npm run mesh -- COMMAND
  build              build everything the mesh is made of (once; kept in the cache)
  up                 leave a ready node, built and started if need be
  down               end this mesh and those of the tests, without a trace
  status             one line a component; exit code 1 when the node is not ready
  exec -- CMD …      run a program in the mesh's network, with KUBECONFIG, istioctl and kubectl
  kind build         build everything that kind clusters are made of
  kind up            leave a running Docker in which kind makes real clusters
  kind down          end it and its clusters, without a trace`

type Command = (args: string[]) => Promise<number | void>

const commands: Record<string, Command> = {
  build: async () => void (await build()),
  up,
  down: downAll,
  status: printStatus,
  exec: (args) => run(args[0] === '--' ? args.slice(1) : args),
  kind: ([name = '']) => kindCommands[name]?.() ?? Promise.resolve(showUsage()),
}

const kindCommands: Record<string, () => Promise<void>> = {
  build: async () => void (await buildKind()),
  up: kindUp,
  down: kindDownAll,
}

function showUsage(): number {
  console.error(usage)
  return 2
}

async function printStatus(): Promise<number> {
  const now = await status()
  if (!now) return (console.log('The mesh is not up.'), 1)
  for (const { name, pid, healthy, restarts } of now.components) {
    console.log(
      `${name.padEnd(24)} ${pid ? `pid ${pid}` : 'not running'}, ${healthy ? 'healthy' : 'NOT healthy'}, restarted ${restarts} times`,
    )
  }
  console.log(`${'node'.padEnd(24)} ${now.nodeReady ? 'Ready' : 'NOT ready'}`)
  return now.nodeReady && now.components.every(({ healthy }) => healthy) ? 0 : 1
}

const [name = '', ...args] = process.argv.slice(2)
const command = commands[name]
try {
  process.exitCode = command ? ((await command(args)) ?? 0) : showUsage()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
