// Downloads one file of a release. Retries if that may help, and resumes where the connection broke.
import { createWriteStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { get, retryRequest, type Answer } from './http.ts'

/** In bytes; `total` if the server sends the length. */
export type Progress = { received: number; total?: number }

/** `key`: the setting that error messages name. Updates `progress` during the download. */
export async function download(
  address: string,
  key: string,
  file: string,
  signal: AbortSignal,
  firstDelayMs: number,
  progress: Progress,
): Promise<void> {
  let version: string | undefined
  const attempt = async () => {
    // When a connection breaks, the last bytes received may not be in the file, so its size says where to resume.
    if (version !== undefined) progress.received = (await stat(file)).size
    const isPartial = version !== undefined && progress.received > 0
    // With `if-range`, the server sends the whole file if it has changed meanwhile.
    const headers = isPartial ? { range: `bytes=${progress.received}-`, 'if-range': version! } : {}
    const answer = await get(address, key, headers, signal)
    const isResumed = isPartial && continuesAt(progress.received, answer)
    if (!isResumed)
      Object.assign(progress, { received: 0, total: Number(answer.headers['content-length']) || undefined })
    version = versionOf(answer)
    answer.body.on('data', (chunk: Buffer) => (progress.received += chunk.length))
    await pipeline(answer.body, createWriteStream(file, { flags: isResumed ? 'a' : 'w' }), { signal })
  }
  await retryRequest(attempt, signal, firstDelayMs, () => progress.received)
}

function continuesAt(position: number, { status, headers }: Answer): boolean {
  return status === 206 && headers['content-range']?.startsWith(`bytes ${position}-`) === true
}

/** Identifies the exact content. Without it, two parts may come from different versions of the file. */
function versionOf({ headers }: Answer): string | undefined {
  return headers.etag && !headers.etag.startsWith('W/') ? headers.etag : headers['last-modified']
}
