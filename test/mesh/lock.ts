// Allows one build, up or down at a time. The lock is an abstract Unix socket, which the kernel releases even if its
// holder is killed.
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { cgroup } from './settings.ts'

export async function withLock<T>(work: () => Promise<T>): Promise<T> {
  const release = await acquire()
  try {
    return await work()
  } finally {
    release()
  }
}

async function acquire(): Promise<() => void> {
  for (let waited = 0; ; waited++) {
    const release = await tryAcquire()
    if (release) return release
    if (waited === 10) console.error('Waiting for another build, up or down of the mesh to end …')
    await sleep(100)
  }
}

function tryAcquire(): Promise<(() => void) | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((connection) => connection.destroy())
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error),
    )
    server.listen({ path: `\0${cgroup}`, exclusive: true }, () => resolve(() => void server.close()))
  })
}
