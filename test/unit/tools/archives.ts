// Archives like those of releases, and broken or malicious ones.
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { tempFolder } from '../fixtures.ts'

export const program = '#!/bin/sh\necho istioctl\n'

/** An archive like those of Istio: one executable at its root. */
export function archive(text = program): Buffer {
  const folder = tempFolder()
  writeFileSync(join(folder, 'istioctl'), text, { mode: 0o755 })
  return tar(folder, 'istioctl')
}

/** Runs GNU tar with these arguments in the folder. It keeps the names as given. */
export function tar(folder: string, ...args: string[]): Buffer {
  return execFileSync('tar', ['-C', folder, '-czPf', '-', ...args], {
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 64 << 20,
  })
}

/** A zip of uncompressed files; `mode` is a Unix file mode. */
export function zip(...files: { name: string; text?: string; mode?: number }[]): Buffer {
  let offset = 0
  const parts = files.map(({ name, text = program, mode = 0o100755 }) => {
    const [title, content] = [Buffer.from(name), Buffer.from(text)]
    const common = Buffer.alloc(26)
    common.writeUInt16LE(20, 0)
    common.writeUInt32LE(crc32(content), 10)
    common.writeUInt32LE(content.length, 14)
    common.writeUInt32LE(content.length, 18)
    common.writeUInt16LE(title.length, 22)
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, title, content])
    const rest = Buffer.alloc(14)
    rest.writeUInt32LE((mode << 16) >>> 0, 6)
    rest.writeUInt32LE(offset, 10)
    offset += local.length
    return { local, central: Buffer.concat([Buffer.from('PK\x01\x02\x14\x03'), common, rest, title]) }
  })
  const central = Buffer.concat(parts.map((part) => part.central))
  const end = Buffer.alloc(18)
  end.writeUInt16LE(files.length, 4)
  end.writeUInt16LE(files.length, 6)
  end.writeUInt32LE(central.length, 8)
  end.writeUInt32LE(offset, 12)
  return Buffer.concat([...parts.map((part) => part.local), central, Buffer.from('PK\x05\x06'), end])
}
