// Builds Go programs from the modules beside this file: the programs of the mesh, and single tools that tests need.
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { glob, readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { type Artifact, cached, folder } from './cache.ts'
import { installCompiler } from './debian.ts'
import { withBuildLock } from './lock.ts'
import { type Report, step } from './progress.ts'
import { here, ISTIO_VERSION, KUBERNETES_VERSION } from './settings.ts'
import { sh } from './shell.ts'

const module = join(here, 'go')
const toolsModule = join(here, 'tools')

interface Tool {
  /** The package of its main function. */
  readonly path: string
  readonly module: string
  readonly tags: readonly string[]
  /** Parts of it are in C: its build needs a C compiler. */
  readonly hasC?: boolean
}

/** A tool of the common module, or of one of its own, as it would change the versions of the others. */
const tool = (path: string, ownModule = '', tags: readonly string[] = []): Tool => ({
  path,
  module: join(toolsModule, ownModule),
  tags,
})

/** Prometheus is built with Kubernetes discovery only: the tests need no other, and some modules cannot be fetched. */
const prometheusTags = ['remove_all_sd', 'enable_kubernetes_sd']
const operator = 'github.com/prometheus-operator/prometheus-operator/cmd'

const tools = {
  act: tool('github.com/nektos/act'),
  actionlint: tool('github.com/rhysd/actionlint/cmd/actionlint'),
  alertmanager: tool('github.com/prometheus/alertmanager/cmd/alertmanager', 'alertmanager'),
  'chaos-controller-manager': tool('github.com/chaos-mesh/chaos-mesh/cmd/chaos-controller-manager', 'chaos-mesh'),
  'chaos-daemon': { ...tool('github.com/chaos-mesh/chaos-mesh/cmd/chaos-daemon', 'chaos-mesh'), hasC: true },
  crictl: tool('sigs.k8s.io/cri-tools/cmd/crictl', 'crictl'),
  flagger: tool('github.com/fluxcd/flagger/cmd/flagger', 'flagger'),
  jaeger: tool('github.com/jaegertracing/jaeger/cmd/jaeger', 'jaeger'),
  kind: tool('sigs.k8s.io/kind'),
  'kustomize-controller': tool('github.com/fluxcd/kustomize-controller', 'flux'),
  'metrics-server': tool('sigs.k8s.io/metrics-server/cmd/metrics-server', 'metrics-server'),
  prometheus: tool('github.com/prometheus/prometheus/cmd/prometheus', 'prometheus', prometheusTags),
  'prometheus-config-reloader': tool(`${operator}/prometheus-config-reloader`, 'prometheus-operator'),
  'prometheus-operator': tool(`${operator}/operator`, 'prometheus-operator'),
  promtool: tool('github.com/prometheus/prometheus/cmd/promtool', 'prometheus', prometheusTags),
  'rollouts-controller': tool('github.com/argoproj/argo-rollouts/cmd/rollouts-controller', 'argo-rollouts'),
  'source-controller': tool('github.com/fluxcd/source-controller', 'flux'),
  'victoria-logs': tool('github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs', 'victoria-logs'),
}
export type GoTool = keyof typeof tools

/** The program names of the multi-call Kubernetes binary. */
const kubernetesPrograms = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-proxy',
  'kube-scheduler',
  'kubeadm',
  'kubelet',
  'kubectl',
]

/** Leaves out what a test mesh never uses and takes long to compile, above all debugging information. */
const tags = ['disable_pgv', 'no_btrfs', 'no_zfs', 'no_devmapper', 'providerless', 'grpcnotrace', 'retrynotrace']
const buildFlags = ['-pgo=off', `-tags=${tags.join(',')}`, '-gcflags=all=-dwarf=false']

const stamps = {
  'istio.io/istio/pkg/version.buildVersion': ISTIO_VERSION,
  'istio.io/istio/pkg/version.buildHub': 'docker.io/istio',
  'istio.io/istio/pkg/version.buildStatus': 'Clean',
  'k8s.io/component-base/version.gitVersion': `v${KUBERNETES_VERSION}`,
}
const ldflags = ['-s -w', ...Object.entries(stamps).map(([name, value]) => `-X ${name}=${value}`)].join(' ')

/**
 * Without CGO, the binaries run in any image. With a lazy garbage collector, the build saves CPU time and uses more
 * memory.
 */
const env = { ...process.env, CGO_ENABLED: '0', GOGC: '400', GOFLAGS: '' }

/** The sources of the mesh's Go programs, which determine the folder of the build. */
export async function programs(): Promise<Artifact> {
  return { name: 'bin', recipe: { flags: [...buildFlags, ldflags], kubernetesPrograms, ...(await sources(module)) } }
}

/** Builds all Go programs of the mesh together, so that shared packages compile once. */
export async function buildPrograms(): Promise<string> {
  return cached(await programs(), (draft) =>
    step('Go programs', async (report) => {
      const packages = ['./kubernetes', './coredns', 'tool']
      await sh(['go', 'build', '-v', ...buildFlags, `-ldflags=${ldflags}`, '-o', draft, ...packages], {
        cwd: module,
        env,
        onLine: await counter(packages, report),
      })
      for (const name of kubernetesPrograms) await symlink('kubernetes', join(draft, name))
    }),
  )
}

/** Reports the progress: the packages that the compiler has named, and their total number. */
async function counter(packages: readonly string[], report: Report): Promise<(line: string) => void> {
  report('fetching modules')
  const list = await sh(['go', 'list', '-deps', ...buildFlags, ...packages], { cwd: module, env })
  const total = list.split('\n').length
  let done = 0
  return (line) => report(`${++done}/${total} ${line.split('/').slice(-2).join('/')}`)
}

/** The path of a tool's binary. The first call builds it. */
export async function goTool(name: GoTool): Promise<string> {
  const binary = join(folder(await toolArtifact(name)), name)
  if (!existsSync(binary)) await withBuildLock(() => buildTool(name))
  return binary
}

/** Builds all tools that are missing. */
export async function buildTools(): Promise<void> {
  for (const name of Object.keys(tools) as GoTool[]) await goTool(name)
}

/** The path of a tool's binary. The caller must hold the lock. */
export async function buildTool(name: GoTool): Promise<string> {
  const { path, module, tags: toolTags, hasC = false } = tools[name]
  // If a flag appears twice, Go uses the last one.
  const flags = toolTags.length === 0 ? buildFlags : [...buildFlags, `-tags=${[...tags, ...toolTags].join(',')}`]
  const made = await cached(await toolArtifact(name), (draft) =>
    step(name, async (report) => {
      if (hasC) await installCompiler()
      await sh(['go', 'build', '-v', ...flags, '-ldflags=-s -w', '-o', join(draft, name), path], {
        cwd: module,
        env: { ...env, CGO_ENABLED: hasC ? '1' : '0' },
        onLine: report,
      })
    }),
  )
  return join(made, name)
}

async function toolArtifact(name: GoTool): Promise<Artifact> {
  return { name, recipe: await sources(tools[name].module) }
}

/** The folder with the files of a module, in the version that the mesh's programs or the tool uses. */
export async function goModule(path: string, usedBy: 'mesh' | GoTool = 'mesh'): Promise<string> {
  const cwd = usedBy === 'mesh' ? module : tools[usedBy].module
  const { Dir } = JSON.parse(await sh(['go', 'mod', 'download', '-json', path], { cwd, env })) as {
    Dir: string
  }
  return Dir
}

async function sources(folder: string): Promise<{ go: string; files: Record<string, string> }> {
  const files: Record<string, string> = {}
  for await (const file of glob(['go.mod', 'go.sum', '*/*.go'], { cwd: folder })) {
    files[file] = createHash('sha256')
      .update(await readFile(join(folder, file)))
      .digest('hex')
  }
  return { go: await goVersion(folder), files: Object.fromEntries(Object.entries(files).sort()) }
}

async function goVersion(folder: string): Promise<string> {
  try {
    return await sh(['go', 'env', 'GOVERSION'], { cwd: folder })
  } catch (error) {
    const wanted = /^go (\S+)$/m.exec(await readFile(join(folder, 'go.mod'), 'utf8'))?.[1]
    throw new Error(
      `The embedded mesh is built from source with Go ${wanted} or newer: install it from https://go.dev/dl (or, with an older Go, set GOTOOLCHAIN=auto). ${String(error)}`,
    )
  }
}
