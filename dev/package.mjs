// `node dev/package.mjs`: packs the command line as an npm package, out/mesh-canary-VERSION.tgz. The bundles contain
// their dependencies, so the package has none. The package.json of the repository is private, because it would bring
// them all.
// Plain JavaScript without dependencies: the release runs it in a job that may write, on the Node.js of the runner.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const out = join(root, 'out')
const folder = join(out, 'package')

const { name, version, description, license, type, bin, engines, files } = JSON.parse(
  readFileSync(join(root, 'package.json'), 'utf8'),
)
rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })
for (const file of [...files, 'README.md', 'LICENSE']) cpSync(join(root, file), join(folder, file), { recursive: true })
writeFileSync(
  join(folder, 'package.json'),
  `${JSON.stringify({ name, version, description, license, type, bin, engines }, null, 2)}\n`,
)
const [packed] = JSON.parse(
  execFileSync('npm', ['pack', '--json', '--pack-destination', out], {
    cwd: folder,
    encoding: 'utf8',
    shell: process.platform === 'win32',
  }),
)
console.log(join(out, packed.filename))
