// A Docker daemon of our own: in its own namespaces and control groups, without a network to the outside, with a mirror
// of releases beside it.
import { spawn } from 'node:child_process'
import { existsSync, openSync, readFileSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { joining, makeCgroups, removeCgroups } from '../cgroups.ts'
import { holderPid, saveHolder } from '../holder.ts'
import { step } from '../progress.ts'
import { cacheDir, here, prefix } from '../settings.ts'
import { sh } from '../shell.ts'
import type { KindParts } from './index.ts'

const folder = join(cacheDir, 'docker')
const group = `/${prefix}-docker`
const holderFile = join(folder, 'process.json')
const partsFile = join(folder, 'parts.json')

/** The address of the daemon, which programs in its network use too. */
export const dockerHost = `unix://${join(folder, 'docker.sock')}`

export const dockerPid = (): number | undefined => holderPid(holderFile)

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
  await stopDocker()
  await step('docker', async (report) => {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await makeCgroups(group)
    spawnDaemon(parts)
    for (const start = Date.now(); !(await answers()); await sleep(100)) {
      if (Date.now() - start > 60_000 || !dockerPid())
        throw new Error(`Docker does not start: its log is ${join(folder, 'docker.log')}.`)
    }
    for (const image of [parts.nodeImage, parts.sampleImage]) {
      report('loading images')
      await sh(['sh', '-c', 'tar -C "$0" -cf - . | docker load', join(image, 'image')], { env: dockerEnv() })
    }
    await writeFile(partsFile, JSON.stringify(parts))
  })
}

/** Kills the daemon and all containers: their mounts and their network end with the last process of the namespaces. */
export async function stopDocker(): Promise<void> {
  await removeCgroups(group)
  await rm(folder, { recursive: true, force: true })
}

const dockerEnv = (): NodeJS.ProcessEnv => ({ ...process.env, DOCKER_HOST: dockerHost })

function answers(): Promise<boolean> {
  return sh(['docker', 'info'], { env: dockerEnv() }).then(
    () => true,
    () => false,
  )
}

function spawnDaemon({ mirrored }: KindParts): void {
  const runtime = ['--add-runtime', `restricted=${join(import.meta.dirname, 'runc.sh')}`, '--default-runtime']
  const daemon = [
    'dockerd',
    `--host=${dockerHost}`,
    `--data-root=${join(folder, 'data')}`,
    '--exec-root=/run/docker',
    '--exec-opt=native.cgroupdriver=cgroupfs',
    `--cgroup-parent=${group}/containers`,
    '--oom-score-adjust=0', // to lower it takes a right that this machine may lack
    '--storage-driver=overlay2',
    '--ipv6=false',
    ...runtime,
    'restricted',
  ]
  const mirrorLog = join(folder, 'mirror.log')
  const mirror = [process.execPath, join(here, 'mirror.ts'), mirrorLog, ...mirrored.map((each) => each.join('='))]
  const script = 'mount -t tmpfs tmpfs /run && ip link set lo up && { "$@" & } && exec $DAEMON'
  const namespaces = ['unshare', '--mount', '--pid', '--net', '--fork', '--kill-child', '--mount-proc']
  const [program = '', ...args] = joining(group, [...namespaces, 'sh', '-c', script, 'sh', ...mirror])
  const log = openSync(join(folder, 'docker.log'), 'a')
  const child = spawn(program, args, {
    detached: true,
    stdio: ['ignore', log, log],
    cwd: '/',
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], DAEMON: daemon.join(' ') },
  })
  child.unref()
  if (child.pid === undefined) throw new Error('Docker could not be started: sh is missing.')
  saveHolder(holderFile, child.pid)
}
