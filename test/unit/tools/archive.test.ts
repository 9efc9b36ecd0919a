import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
  linkSync,
} from 'node:fs'
import { join } from 'node:path'
import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { ConfigError } from '../../../src/config/error.ts'
import { takeBinary } from '../../../src/tools/archive.ts'
import { tempFolder } from '../fixtures.ts'
import { archive, program, tar, zip } from './archives.ts'

/** Unpacks in a folder of its own, and checks that nothing besides the binary was written. */
async function extract(bytes: Buffer, asset: string, binary = 'istioctl'): Promise<string> {
  const folder = tempFolder()
  const [from, out] = [join(folder, 'asset'), join(folder, 'deep', 'out')]
  writeFileSync(from, bytes)
  mkdirSync(out, { recursive: true })
  try {
    await takeBinary(from, asset, binary, join(out, binary), 'istio')
    expect(statSync(join(out, binary)).mode & 0o777).toBe(0o755)
    return readFileSync(join(out, binary), 'utf8')
  } finally {
    expect(readdirSync(folder).sort()).toEqual(['asset', 'deep'])
    expect(readdirSync(join(folder, 'deep'))).toEqual(['out'])
    expect(readdirSync(out).filter((name) => name !== binary)).toEqual([])
  }
}

test('takeBinary extracts the binary from a tar, with either spelling of its path', async () => {
  expect(await extract(archive(), 'a.tar.gz')).toBe(program)
  const folder = tempFolder()
  writeFileSync(join(folder, 'istioctl'), program)
  expect(await extract(tar(folder, './istioctl'), 'a.tar.gz')).toBe(program)
})

test('takeBinary extracts the binary from a zip', async () => {
  expect(await extract(zip({ name: 'istioctl.exe' }), 'a.zip', 'istioctl.exe')).toBe(program)
})

/** A tar of the files that the function creates in a folder. */
function tarOf(lay: (folder: string) => string[]): Buffer {
  const folder = tempFolder()
  return tar(folder, ...lay(folder))
}

const file = (path: string) => {
  writeFileSync(path, program)
  return path
}

test.each<[string, string, () => Buffer, string]>([
  [
    'a path with ..',
    'a.tar.gz',
    () => tarOf((folder) => [file(join(folder, 'x')), '--transform=s,.*,../../evil,']),
    'the file "../../evil"',
  ],
  [
    'a path with .. and the right name',
    'a.tar.gz',
    () => tarOf((folder) => [file(join(folder, 'x')), '--transform=s,.*,../istioctl,']),
    'the file "../istioctl"',
  ],
  [
    'an absolute path',
    'a.tar.gz',
    () => tarOf((folder) => [file(join(folder, 'x')), '--transform=s,.*,/tmp/mesh-canary-evil,']),
    'the file "/tmp/mesh-canary-evil"',
  ],
  [
    'a symbolic link',
    'a.tar.gz',
    () => tarOf((folder) => (symlinkSync('/etc/passwd', join(folder, 'istioctl')), ['istioctl'])),
    'the link "istioctl"',
  ],
  [
    'a hard link',
    'a.tar.gz',
    () =>
      tarOf(
        (folder) => (
          file(join(folder, 'istioctl')),
          linkSync(join(folder, 'istioctl'), join(folder, 'second')),
          ['istioctl', 'second']
        ),
      ),
    'the link "second"',
  ],
  [
    'a named pipe',
    'a.tar.gz',
    () => tarOf((folder) => (execFileSync('mkfifo', [join(folder, 'istioctl')]), ['istioctl'])),
    'the fifo "istioctl"',
  ],
  [
    'a folder',
    'a.tar.gz',
    () => tarOf((folder) => (mkdirSync(join(folder, 'istioctl')), ['istioctl'])),
    'the folder "istioctl/"',
  ],
  [
    'a second file',
    'a.tar.gz',
    () => tarOf((folder) => (file(join(folder, 'istioctl')), file(join(folder, 'more')), ['istioctl', 'more'])),
    'the file "more"',
  ],
  [
    'the binary twice',
    'a.tar.gz',
    () => tarOf((folder) => (file(join(folder, 'istioctl')), ['--hard-dereference', 'istioctl', './istioctl'])),
    'the file "./istioctl"',
  ],
  ['no file', 'a.tar.gz', () => tarOf(() => ['-T', '/dev/null']), 'nothing'],
  ['a path with .. in a zip', 'a.zip', () => zip({ name: '../istioctl' }), 'the file "../istioctl"'],
  [
    'an absolute path in a zip',
    'a.zip',
    () => zip({ name: '/tmp/mesh-canary-evil' }),
    'the file "/tmp/mesh-canary-evil"',
  ],
  ['a Windows path in a zip', 'a.zip', () => zip({ name: '..\\istioctl' }), 'the file "..\\\\istioctl"'],
  ['a link in a zip', 'a.zip', () => zip({ name: 'istioctl', mode: 0o120777 }), 'the link "istioctl"'],
  ['a folder in a zip', 'a.zip', () => zip({ name: 'bin/' }), 'the folder "bin/"'],
  ['a second file in a zip', 'a.zip', () => zip({ name: 'istioctl' }, { name: 'more' }), 'the file "more"'],
  ['no file in a zip', 'a.zip', () => zip(), 'nothing'],
])('takeBinary rejects an archive with %s, and leaves nothing of it on the disk', async (_, asset, bytes, what) => {
  const error: unknown = await extract(bytes(), asset).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(ConfigError)
  expect((error as Error).message).toContain(
    `istio.mirror: the archive ${asset} holds ${what}, expected only the file istioctl`,
  )
  expect(existsSync('/tmp/mesh-canary-evil')).toBe(false)
})

test.each([
  ['is not an archive', 'a.tar.gz', () => Buffer.from('not an archive')],
  ['is cut short', 'a.tar.gz', () => archive().subarray(0, 60)],
  ['is not an archive', 'a.zip', () => Buffer.from('not an archive')],
])('takeBinary reports a file that %s (%s)', async (_, asset, bytes) => {
  await expect(extract(bytes(), asset)).rejects.toThrow(
    /^istio.mirror: a\.\S+ cannot be unpacked \(.+\), although its checksum matches/,
  )
})
