// Allows one build at a time, and one up or down of each node. The lock is an abstract Unix socket, which the kernel
// releases even if its holder is killed.
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { resourcePrefix } from './settings.ts'

/** The lock of everything that the cache folder keeps. */
export const withBuildLock = <T>(work: () => Promise<T>): Promise<T> => withLock('build', work)

/** The lock of one node. */
export const withNodeLock = <T>(suffix: string, work: () => Promise<T>): Promise<T> => withLock(`node${suffix}`, work)

/** Runs `work` while no other process holds the lock of this name. */
export async function withLock<T>(name: string, work: () => Promise<T>): Promise<T> {
  const release = await acquire(name)
  try {
    return await work()
  } finally {
    release()
  }
}

async function acquire(name: string): Promise<() => void> {
  for (let waited = 0; ; waited++) {
    const release = await tryAcquire(name)
    if (release) return release
    if (waited === 10) console.error(`Waiting for another process to end its work on the mesh (${name}) …`)
    await sleep(100)
  }
}

function tryAcquire(name: string): Promise<(() => void) | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((connection) => connection.destroy())
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error),
    )
    server.listen({ path: `\0${resourcePrefix}-${name}`, exclusive: true }, () => resolve(() => void server.close()))
  })
}
