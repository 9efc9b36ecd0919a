// Extracts the one binary from a release's archive. The caller chooses the file: no path in the archive ever becomes a
// path on disk.
import { createReadStream, createWriteStream } from 'node:fs'
import { chmod, copyFile } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { extract, type Extract } from 'tar-stream'
import { openPromise } from 'yauzl'
import { ConfigError } from '../config/error.ts'
import { messageOf } from '../runtime/errors.ts'

/** @throws ConfigError when the archive holds anything but a file named like the binary at its root. */
export async function takeBinary(
  archive: string,
  asset: string,
  binary: string,
  to: string,
  key: string,
): Promise<void> {
  const refuse = (what: string): never => {
    throw new ConfigError(
      `${key}.mirror: the archive ${asset} holds ${what}, expected only the file ${binary}; it was not used. ` +
        'Do not trust this mirror',
    )
  }
  try {
    if (/\.tar\.gz$|\.tgz$/.test(asset)) await fromTar(archive, binary, to, refuse)
    else if (asset.endsWith('.zip')) await fromZip(archive, binary, to, refuse)
    else await copyFile(archive, to)
    await chmod(to, 0o755)
  } catch (error) {
    // An error of the file system, such as a full disk, is not the archive's fault.
    if (error instanceof ConfigError || (error as NodeJS.ErrnoException).syscall !== undefined) throw error
    throw new ConfigError(
      `${key}.mirror: ${asset} cannot be unpacked (${messageOf(error)}), although its checksum matches; ` +
        'give another mirror',
    )
  }
}

type Refuse = (what: string) => never

async function fromTar(archive: string, binary: string, to: string, refuse: Refuse): Promise<void> {
  const entries = extract()
  const reading = pipeline(createReadStream(archive), createGunzip(), entries)
  // If `take` refuses an entry, reading fails too. The refusal is the error to report.
  const [taken, read] = await Promise.allSettled([extractBinary(entries, binary, to, refuse), reading])
  if (taken.status === 'rejected') throw taken.reason
  if (read.status === 'rejected') throw read.reason
  if (!taken.value) refuse('nothing')
}

async function extractBinary(entries: Extract, binary: string, to: string, refuse: Refuse): Promise<boolean> {
  let found = false
  for await (const entry of entries) {
    const { name, type } = entry.header
    if (type !== 'file' || name.replace(/^\.\//, '') !== binary || found)
      refuse(`${kindOf(type)} ${JSON.stringify(name)}`)
    found = true
    await write(entry, to)
  }
  return found
}

function kindOf(type: string | null | undefined): string {
  if (type === 'file') return 'the file'
  if (type === 'directory') return 'the folder'
  return type?.endsWith('link') ? 'the link' : `the ${type ?? 'unknown entry'}`
}

async function fromZip(archive: string, binary: string, to: string, refuse: Refuse): Promise<void> {
  // The names are only compared here, never used as paths. The library's own check would not name the entry.
  const zip = await openPromise(archive, { decodeStrings: false, autoClose: false })
  try {
    let found = false
    for await (const entry of zip.eachEntry()) {
      const name = entry.fileNameRaw.toString()
      const isLink = ((entry.externalFileAttributes >>> 16) & 0o170000) === 0o120000
      if (isLink || name !== binary || found)
        refuse(`${isLink ? 'the link' : name.endsWith('/') ? 'the folder' : 'the file'} ${JSON.stringify(name)}`)
      found = true
      await write(await zip.openReadStreamPromise(entry), to)
    }
    if (!found) refuse('nothing')
  } finally {
    zip.close()
  }
}

function write(content: AsyncIterable<unknown>, to: string): Promise<void> {
  return pipeline(content, createWriteStream(to))
}
