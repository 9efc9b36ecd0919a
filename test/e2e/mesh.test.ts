// The embedded mesh itself: it starts, recovers after any kill, and stops without leaving anything behind.
import { execFile, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { expect, test, vi } from 'vitest'
import { down, enter, run, status, up } from '../mesh/index.ts'
import { cacheDir, cgroup, nodeDir } from '../mesh/settings.ts'

const cli = resolve(import.meta.dirname, '../mesh/cli.ts')

async function pids(): Promise<Record<string, number>> {
  const { components } = (await status())!
  return Object.fromEntries(components.map(({ name, pid }) => [name, pid]))
}

async function expectHealthy(): Promise<void> {
  const now = await status()
  expect(now?.nodeReady).toBe(true)
  expect(now?.components.filter(({ healthy }) => !healthy)).toEqual([])
}

test('a second up changes nothing', async () => {
  await up()
  const before = await pids()
  await up()
  expect(await pids()).toEqual(before)
  await expectHealthy()
})

test('exec runs a program in the mesh with access to the cluster, and passes the exit code on', async () => {
  expect(
    await run(['sh', '-c', 'kubectl get --raw /readyz && istioctl version --remote=false && exit 7'], {
      stdio: 'ignore',
    }),
  ).toBe(7)
})

test('the network leads nowhere outside: it has only loopback, bridges and the pods attached to them', async () => {
  const [program = '', ...args] = enter(['ip', '-json', '-details', 'link'])
  const { stdout } = await promisify(execFile)(program, args)
  const links = JSON.parse(stdout) as { ifname: string; linkinfo?: { info_kind: string } }[]
  expect(links.length).toBeGreaterThan(1)
  expect(
    links.filter(({ ifname, linkinfo }) => ifname !== 'lo' && !['bridge', 'veth'].includes(linkinfo?.info_kind ?? '')),
  ).toEqual([])
  expect(readlinkSync(`/proc/${(await pids())['etcd']!}/ns/net`)).not.toBe(readlinkSync('/proc/self/ns/net'))
})

test.each(['containerd', 'kube-apiserver', 'etcd', 'kubelet'])(
  'the next up repairs the mesh after kill -9 of %s',
  async (name) => {
    const before = (await pids())[name]!
    process.kill(before, 'SIGKILL')
    // While it dies, `up` could still find it healthy.
    await vi.waitUntil(() => !existsSync(`/proc/${before}`))
    await up()
    await expectHealthy()
    expect((await pids())[name]).not.toBe(before)
  },
)

test('the next up starts a new node after kill -9 of the process that holds its namespaces', async () => {
  const { pid } = JSON.parse(readFileSync(join(nodeDir, 'process.json'), 'utf8')) as { pid: number }
  process.kill(pid, 'SIGKILL')
  await up()
  await expectHealthy()
})

test.each([500, 2_000, 5_000])('the next up repairs the mesh after kill -9 of up itself after %d ms', async (ms) => {
  await down()
  const child = spawn(process.execPath, [cli, 'up'], { stdio: 'ignore' })
  await sleep(ms)
  child.kill('SIGKILL')
  await up()
  await expectHealthy()
})

test('down leaves no process, mount, cgroup or file behind', async () => {
  const before = Object.values(await pids())
  expect(before.every((pid) => commandLine(pid).includes(cacheDir))).toBe(true)
  await down()
  expect(await status()).toBeUndefined()
  expect(existsSync(nodeDir)).toBe(false)
  expect(readFileSync('/proc/self/mounts', 'utf8')).not.toContain(cacheDir)
  const hierarchies = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, , type]) => type?.startsWith('cgroup'))
  expect(hierarchies.length).toBeGreaterThan(0)
  expect(hierarchies.filter(([, folder]) => existsSync(`${folder!}${cgroup}`))).toEqual([])
  expect(before.filter((pid) => commandLine(pid).includes(cacheDir))).toEqual([])
  expect(
    existsSync('/run/netns') ? readdirSync('/run/netns').filter((name) => name.includes('mesh-canary')) : [],
  ).toEqual([])
})

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}
