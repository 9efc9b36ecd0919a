// The command line as an npm package: `npx` runs it, and an old Node.js gets an error. Needs no cluster.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')
const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-package-'))
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
let tarball: string

beforeAll(() => {
  tarball = execFileSync(process.execPath, ['dev/package.mjs'], { cwd: root, encoding: 'utf8' }).trim()
  mkdirSync(join(folder, 'project'))
})
afterAll(() => rmSync(folder, { recursive: true }))

/** Offline and with an empty cache, so that a package that has to fetch anything fails. */
function npx(...args: string[]) {
  const env = {
    ...process.env,
    HOME: folder,
    npm_config_cache: join(folder, 'npm'),
    npm_config_offline: 'true',
    npm_config_update_notifier: 'false',
    KUBECONFIG: '',
  }
  return spawnSync('npx', ['--yes', '--package', tarball, 'mesh-canary', ...args], {
    cwd: join(folder, 'project'),
    encoding: 'utf8',
    env,
  })
}

test('npx runs the package, which contains everything it needs', () => {
  expect(npx('--version')).toMatchObject({ status: 0, stdout: `${version}\n` })
  const [place = ''] = readdirSync(join(folder, 'npm/_npx'))
  expect(readdirSync(join(folder, 'npm/_npx', place, 'node_modules')).filter((name) => !name.startsWith('.'))).toEqual([
    'mesh-canary',
  ])

  writeFileSync(join(folder, 'project/mesh.yaml'), 'namespace: shop\nservices: { backend: { timeout: 10s } }\n')
  const { status, stdout } = npx('plan', '--config', 'mesh.yaml')
  expect(stdout).toContain('kind: VirtualService')
  expect(status).toBe(0)
})

test('an older Node.js gets a one-line error before it loads code that it does not support', () => {
  // Only the reported version changes, because the machine may have no old Node.js.
  const older = `data:text/javascript,Object.defineProperty(process,'versions',{value:{...process.versions,node:'20.20.2'}})`
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', older, 'dist/cli.js', '--version'], {
    cwd: root,
    encoding: 'utf8',
  })
  expect(stderr).toMatch(
    /^mesh-canary needs Node\.js 24 or newer, and this is v\S+ \(.*\); install a newer version, or put it first on the PATH\n$/,
  )
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
})
