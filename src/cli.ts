#!/usr/bin/env node
// The entry of the command line: the same program for GitLab CI, Jenkins, CircleCI and a laptop.
import { readFileSync } from 'node:fs'
import { exitOnDefect } from './runtime/defect.ts'
import { limitNewSpace } from './runtime/memory.ts'

const { version, engines } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string
  engines: { node: string }
}
const needed = /\d+/.exec(engines.node)![0]

if (Number.parseInt(process.versions.node) < Number(needed)) {
  console.error(
    `mesh-canary needs Node.js ${needed} or newer, and this is ${process.version} (${process.execPath}); ` +
      'install a newer version, or put it first on the PATH',
  )
  process.exit(2)
}
exitOnDefect('text')
limitNewSpace()
// A dynamic import, because an older Node.js cannot load the rest, and so that an exception at import time is reported.
const { main } = await import('./cli/program.ts')
const code = await main(process.argv.slice(2), version)
// Kept-alive connections would hold the process for minutes; what is printed goes out first.
process.stdout.write('', () => process.exit(code))
