// `npm run build`: the bundles in dist/ (the action's, the command line's and the guard's), their source maps and
// licences.
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { build as esbuild, type BuildOptions, type Metafile, type OutputFile, type Plugin } from 'esbuild'
import { shrinkSourceMap } from './source-maps.ts'

/** The names of licence files in packages. */
const licenceFiles = ['LICEN[CS]E*', 'licen[cs]e*', 'COPYING*', 'NOTICE*']

/**
 * Packages that do nothing when loaded but do not declare it (`sideEffects: false`); without that, esbuild keeps all of
 * their code.
 */
const withoutSideEffects = ['@kubernetes/client-node', '@actions/core']

const treeShaking: Plugin = {
  name: 'tree shaking',
  setup(build) {
    build.onResolve({ filter: /^(\.|@)/ }, async ({ path, pluginData, ...where }) => {
      const inside = (name: string) =>
        path === name ||
        path.startsWith(`${name}/`) ||
        (path.startsWith('.') && where.importer.includes(`/node_modules/${name}/`))
      if (pluginData === treeShaking || !withoutSideEffects.some(inside)) return undefined
      // Most imports name a file. Resolving those here saves two messages to esbuild each, and half of the build's
      // time.
      if (path.startsWith('.') && path.endsWith('.js'))
        return { path: join(where.resolveDir, path), sideEffects: false }
      return { ...(await build.resolve(path, { ...where, pluginData: treeShaking })), sideEffects: false }
    })
  },
}

// The folder given here appears in the source maps and thereby in the names of the chunks: it must not depend on where
// the files go.
const common = {
  bundle: true,
  outdir: 'dist',
  write: false,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  minify: true,
  metafile: true,
  legalComments: 'none',
  logLevel: 'warning',
  // CommonJS packages load Node.js' own modules by `require`.
  banner: { js: "import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);" },
} satisfies BuildOptions

/** The script and the style sheet of the HTML report, which go into each page as they are. */
const page = {
  bundle: true,
  outdir: 'dist',
  write: false,
  platform: 'browser',
  format: 'iife',
  target: 'es2022',
  minify: true,
  metafile: true,
  legalComments: 'none',
  logLevel: 'warning',
  entryPoints: { 'report-page': 'src/report/html/client/index.ts' },
  outExtension: { '.js': '.mjs' },
} satisfies BuildOptions

const pageStyle = {
  ...page,
  entryPoints: { 'report-page': 'src/report/html/client/style.css' },
  outExtension: {},
} satisfies BuildOptions

/** Writes both to `folder`, as readAssets finds them. */
export async function buildPage(folder: string): Promise<Metafile> {
  const [script, style] = await Promise.all([esbuild(page), esbuild(pageStyle)])
  mkdirSync(folder, { recursive: true })
  for (const file of [...script.outputFiles, ...style.outputFiles]) write(folder, file)
  return script.metafile
}

/**
 * Replaces `folder`. Each dynamic import becomes a file of its own, so that the program can report a wrong input before
 * it loads the rest. Tests add `plugins` to plant a failure.
 */
export async function build(folder: string, plugins: Plugin[] = []): Promise<void> {
  const action = await esbuild({
    ...common,
    entryPoints: ['src/index.ts', 'src/cli.ts'],
    splitting: true,
    chunkNames: '[name]-[hash]',
    // `external` adds no comment to the bundles: Node.js loads no map at start, src/runtime/stack.ts loads one when it
    // prints a stack.
    sourcemap: 'external',
    sourcesContent: false,
    plugins: [treeShaking, ...plugins],
  })
  // One file without a map, because it goes into a ConfigMap.
  const guard = await esbuild({
    ...common,
    entryPoints: { guard: 'src/guard/index.ts' },
    outExtension: { '.js': '.mjs' },
    plugins: [treeShaking, ...plugins],
  })
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  for (const file of [...action.outputFiles, ...guard.outputFiles]) write(folder, file)
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify({ type: 'module' }, null, 2)}\n`)
  const pageMetafile = await buildPage(folder)
  writeFileSync(join(folder, 'licenses.txt'), licences([action.metafile, guard.metafile, pageMetafile]))
}

function write(folder: string, { path, text }: OutputFile): void {
  const isProgram = text.startsWith('#!')
  writeFileSync(join(folder, basename(path)), path.endsWith('.map') ? shrinkSourceMap(text) : text, {
    mode: isProgram ? 0o755 : 0o644,
  })
}

/** Name, version and licence of every package that has code in the bundles. */
function licences(bundles: Metafile[]): string {
  const inputs = bundles.flatMap(({ outputs }) =>
    Object.values(outputs).flatMap((output) => Object.keys(output.inputs)),
  )
  const folders = new Set(
    inputs.flatMap((input) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(input)?.[0] ?? []),
  )
  const packages = [...folders].map((folder) => {
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
    return { title: `${name} ${version}\n${license ?? 'see below'}\n`, text }
  })
  // Many packages come with the same text, which stands once for all of them.
  const texts = [...Map.groupBy(packages, ({ text }) => text)].map(
    ([text, same]) =>
      `${same
        .map(({ title }) => title)
        .sort()
        .join('\n')}\n${text || '(the package has no file with its text)'}\n`,
  )
  return texts.sort().join(`\n${'-'.repeat(80)}\n\n`)
}

if (import.meta.main) await build('dist')
