// Installs missing Debian packages that the mesh needs, if it may.
import { existsSync, readFileSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { step } from './progress.ts'
import { sh } from './shell.ts'

/** A file of each package, which shows that the package is installed → the package. */
const requiredPackages = {
  '/usr/sbin/runc': 'runc',
  '/usr/lib/cni/ptp': 'containernetworking-plugins',
  '/usr/bin/mmdebstrap': 'mmdebstrap',
  '/usr/sbin/iptables': 'iptables',
  '/usr/sbin/nft': 'nftables',
  '/usr/sbin/conntrack': 'conntrack',
  '/usr/bin/ip': 'iproute2',
  '/usr/bin/tini': 'tini',
  '/usr/bin/openssl': 'openssl',
  '/usr/bin/unshare': 'util-linux',
}

export async function installPackages(): Promise<void> {
  if (process.getuid?.() !== 0)
    throw new Error('The embedded mesh needs root: it makes namespaces, mounts and control groups.')
  await install(
    Object.entries(requiredPackages)
      .filter(([file]) => !existsSync(file))
      .map(([, name]) => name),
  )
}

/** Docker's daemon and client. The installation starts no daemon. */
export async function installDocker(): Promise<void> {
  if (existsSync('/usr/bin/dockerd') || existsSync('/usr/sbin/dockerd')) return
  // Debian's packages ask this program whether they may start their services; 101 means that they may not.
  const policy = '/usr/sbin/policy-rc.d'
  const hadNoPolicy = !existsSync(policy)
  if (hadNoPolicy) await writeFile(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    await install(['docker.io'])
  } finally {
    if (hadNoPolicy) await rm(policy)
  }
}

export async function installPip(): Promise<void> {
  const hasPip = await sh(['python3', '-m', 'pip', '--version']).then(
    () => true,
    () => false,
  )
  if (!hasPip) await install(['python3-pip'])
}

export async function installRsync(): Promise<void> {
  if (!existsSync('/usr/bin/rsync')) await install(['rsync'])
}

export async function installCompiler(): Promise<void> {
  if (!existsSync('/usr/bin/gcc')) await install(['gcc', 'libc6-dev'])
}

/** The browser, with a font that has the signs of the pages. */
export async function installChromium(): Promise<void> {
  await install(['chromium', 'fonts-dejavu-core'])
}

async function install(missing: readonly string[]): Promise<void> {
  if (missing.length === 0) return
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get'))
    throw new Error(`This needs ${missing.join(', ')}: install them, or be root on Debian or Ubuntu.`)
  await step('Debian packages', async (report) => {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    await sh(['apt-get', 'update', '-q'], { env, onLine: report })
    await sh(['apt-get', 'install', '-qy', '--no-install-recommends', ...missing], { env, onLine: report })
  })
}

/** The code name of this system, such as "bookworm". The images use the same release and the same package sources. */
export function codename(): string {
  const found = /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync('/etc/os-release', 'utf8'))
  if (!found?.[1])
    throw new Error('The embedded mesh is made of Debian packages, and this system names no Debian or Ubuntu release.')
  return found[1]
}
