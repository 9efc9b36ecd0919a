#!/usr/bin/env node
// The entry of the command line: the same program for GitLab CI, Jenkins, CircleCI and a laptop.
import { readFileSync } from 'node:fs'
import { main } from './cli/program.ts'

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
const code = await main(process.argv.slice(2), version)
// Kept-alive connections would hold the process for minutes; what is printed goes out first.
process.stdout.write('', () => process.exit(code))
