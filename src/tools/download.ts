// One file of a release into a file here: tried again when that may help, and gone on with where the connection broke.
import { createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { ask, patiently, type Answer } from './http.ts'

/** How far it is; `total` in bytes, when the server says. */
export type Progress = { have: number; total?: number }

export async function download(
  address: string,
  key: string,
  file: string,
  signal: AbortSignal,
  backOffMs: number,
  progress: Progress,
): Promise<void> {
  let part: string | undefined
  const once = async () => {
    const goOn = part !== undefined && progress.have > 0
    // If the file has changed since, the server answers with all of it.
    const answer = await ask(address, key, goOn ? { range: `bytes=${progress.have}-`, 'if-range': part! } : {}, signal)
    const resumed =
      goOn && answer.status === 206 && answer.headers['content-range']?.startsWith(`bytes ${progress.have}-`) === true
    if (!resumed) Object.assign(progress, { have: 0, total: Number(answer.headers['content-length']) || undefined })
    part = validator(answer)
    answer.body.on('data', (chunk: Buffer) => (progress.have += chunk.length))
    await pipeline(answer.body, createWriteStream(file, { flags: resumed ? 'a' : 'w' }), { signal })
  }
  await patiently(once, signal, backOffMs, () => progress.have)
}

/** What a server knows this very content by; without it a piece cannot be told from one of another file. */
function validator({ headers }: Answer): string | undefined {
  return headers.etag && !headers.etag.startsWith('W/') ? headers.etag : headers['last-modified']
}
