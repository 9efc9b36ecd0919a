// A Docker daemon of our own: in its own namespaces and control groups, without a network to the outside, with a mirror
// of releases beside it.
import { spawn } from 'node:child_process'
import { existsSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { joining, makeCgroups, removeCgroups } from '../cgroups.ts'
import { runningPid, saveProcess } from '../process-file.ts'
import { step } from '../progress.ts'
import { cacheDir, here, nodeSuffix, resourcePrefix } from '../settings.ts'
import { sh } from '../shell.ts'
import type { KindParts } from './index.ts'

/** As with nodes, tests have a Docker of their own. */
const folderOf = (suffix: string): string => join(cacheDir, `docker${suffix}`)
const cgroupOf = (suffix: string): string => `/${resourcePrefix}-docker${suffix}`

export const dockerFolder = folderOf(nodeSuffix)
export const dockerCgroup = cgroupOf(nodeSuffix)
const processFile = join(dockerFolder, 'process.json')
const partsFile = join(dockerFolder, 'parts.json')

/** The address of the daemon, which programs in its network use too. */
export const dockerHost = `unix://${join(dockerFolder, 'docker.sock')}`

export const dockerPid = (): number | undefined => runningPid(processFile)

/** What the running daemon was started with. */
export function dockerParts(): KindParts | undefined {
  return dockerPid() && existsSync(partsFile) ? (JSON.parse(readFileSync(partsFile, 'utf8')) as KindParts) : undefined
}

/** True if the daemon runs with these parts and answers. */
export async function isDockerUp(parts: KindParts): Promise<boolean> {
  return isDeepStrictEqual(dockerParts(), parts) && (await answers())
}

/** Removes what is left of an earlier daemon, and starts a new one with the images of the parts. */
export async function startDocker(parts: KindParts): Promise<void> {
  await stopDocker(nodeSuffix)
  await step('docker', async (report) => {
    await mkdir(dockerFolder, { recursive: true, mode: 0o700 })
    await makeCgroups(dockerCgroup)
    spawnDaemon(parts)
    for (const start = Date.now(); !(await answers()); await sleep(100)) {
      if (Date.now() - start > 60_000 || !dockerPid())
        throw new Error(`Docker does not start: its log is ${join(dockerFolder, 'docker.log')}.`)
    }
    for (const folder of [parts.nodeImageFolder, parts.sampleImageFolder]) {
      report('loading images')
      await sh(['sh', '-c', 'tar -C "$0" -cf - . | docker load', join(folder, 'image')], { env: dockerEnv() })
    }
    await writeFile(partsFile, JSON.stringify(parts))
  })
}

/** Kills the daemon and all containers: their mounts and their network end with the last process of the namespaces. */
export async function stopDocker(suffix: string): Promise<void> {
  await removeCgroups(cgroupOf(suffix))
  await rm(folderOf(suffix), { recursive: true, force: true })
}

/** Suffixes of all Dockers of this cache folder, running or not, and this process's own, even if it has no files yet. */
export function allDockers(): Set<string> {
  const names = existsSync(cacheDir) ? readdirSync(cacheDir) : []
  return new Set([nodeSuffix, ...names.flatMap((name) => /^docker(-[\w-]+|)$/.exec(name)?.[1] ?? [])])
}

const dockerEnv = (): NodeJS.ProcessEnv => ({ ...process.env, DOCKER_HOST: dockerHost })

function answers(): Promise<boolean> {
  return sh(['docker', 'info'], { env: dockerEnv() }).then(
    () => true,
    () => false,
  )
}

/** The mirror runs in the background. dockerd becomes the first process, so its end ends all. */
function spawnDaemon(parts: KindParts): void {
  const script = 'mount -t tmpfs tmpfs /run && ip link set lo up && { $MIRROR & } && exec "$@"'
  const namespaces = ['unshare', '--mount', '--pid', '--net', '--fork', '--kill-child', '--mount-proc']
  const [program = '', ...args] = joining(dockerCgroup, [...namespaces, 'sh', '-c', script, 'sh', ...daemonCommand()])
  const log = openSync(join(dockerFolder, 'docker.log'), 'a')
  const { PATH, HOME } = process.env
  const child = spawn(program, args, {
    detached: true,
    stdio: ['ignore', log, log],
    cwd: '/',
    env: { PATH, HOME, MIRROR: mirrorCommand(parts).join(' ') },
  })
  child.unref()
  if (child.pid === undefined) throw new Error('Docker could not be started: sh is missing.')
  saveProcess(processFile, child.pid)
}

function daemonCommand(): string[] {
  return [
    'dockerd',
    `--host=${dockerHost}`,
    `--data-root=${join(dockerFolder, 'data')}`,
    '--exec-root=/run/docker',
    '--exec-opt=native.cgroupdriver=cgroupfs',
    `--cgroup-parent=${dockerCgroup}/containers`,
    '--oom-score-adjust=0', // lowering the score needs a privilege that this machine may lack
    '--storage-driver=overlay2',
    '--ipv6=false',
    `--add-runtime=without-sys-resource=${join(import.meta.dirname, 'runc-without-sys-resource.sh')}`,
    '--default-runtime=without-sys-resource',
  ]
}

function mirrorCommand({ mirrored }: KindParts): string[] {
  const log = join(dockerFolder, 'mirror.log')
  return [process.execPath, join(here, 'mirror.ts'), log, ...mirrored.map((each) => each.join('='))]
}
