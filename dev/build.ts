// `npm run build`: the bundles in dist/, the action's and the guard's, and the licences of what they are made of.
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build as bundle, type BuildOptions, type Metafile, type Plugin } from 'esbuild'

/** What the licences of packages are called in their folders. */
const licenceFiles = ['LICEN[CS]E*', 'licen[cs]e*', 'COPYING*', 'NOTICE*']

/** These say of no module that it does nothing when loaded, and so whatever they can do would come along: none of theirs does. */
const harmless = ['@kubernetes/client-node', '@actions/core']

const shake: Plugin = {
  name: 'leave out what is not used',
  setup(build) {
    build.onResolve({ filter: /./ }, async ({ path, pluginData, ...where }) => {
      const inside = (name: string) =>
        path === name ||
        path.startsWith(`${name}/`) ||
        (path.startsWith('.') && where.importer.includes(`/node_modules/${name}/`))
      if (pluginData === shake || !harmless.some(inside)) return undefined
      return { ...(await build.resolve(path, { ...where, pluginData: shake })), sideEffects: false }
    })
  },
}

const common = {
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  minify: true,
  metafile: true,
  legalComments: 'none',
  logLevel: 'warning',
  plugins: [shake],
  // Packages that are no ES modules ask for Node's own by `require`.
  banner: { js: "import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);" },
} satisfies BuildOptions

/** What is imported when it is needed is a file of its own, so that a wrong input is told before the rest is loaded. */
export async function build(folder: string): Promise<void> {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const action = await bundle({
    ...common,
    entryPoints: ['src/index.ts', 'src/cli.ts'],
    outdir: folder,
    splitting: true,
    chunkNames: '[name]-[hash]',
  })
  // It goes into the cluster as one text.
  const guard = await bundle({ ...common, entryPoints: ['src/guard/index.ts'], outfile: join(folder, 'guard.mjs') })
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify({ type: 'module' }, null, 2)}\n`)
  writeFileSync(join(folder, 'licenses.txt'), licences([action.metafile, guard.metafile]))
}

/** Of every package of which something is in the bundles. */
function licences(bundles: Metafile[]): string {
  const inputs = bundles.flatMap(({ outputs }) =>
    Object.values(outputs).flatMap((output) => Object.keys(output.inputs)),
  )
  const folders = new Set(
    inputs.flatMap((input) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(input)?.[0] ?? []),
  )
  const texts = [...folders].map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
      name: string
      version: string
      license?: string
    }
    const files = globSync(licenceFiles, { cwd: folder })
      .filter((file) => existsSync(join(folder, file)))
      .sort()
    const text = files
      .map((file) => readFileSync(join(folder, file), 'utf8').replace(/\r\n/g, '\n').trim())
      .join('\n\n')
    return `${name} ${version}\n${license ?? 'see below'}\n\n${text || '(the package has no file with its text)'}\n`
  })
  return texts.sort().join(`\n${'-'.repeat(80)}\n\n`)
}

if (import.meta.main) await build('dist')
