// `npm run bench -- NAME`: one of the benchmarks in this folder; prints its table and writes out/bench/NAME.json.
import { mkdirSync, writeFileSync } from 'node:fs'

const names = ['detect', 'faults', 'lossless', 'simulate', 'split', 'startup']
const [name = ''] = process.argv.slice(2)

if (!names.includes(name)) {
  console.error(`expected one of ${names.join(', ')}, got ${name === '' ? 'nothing' : name}`)
  process.exit(2)
}
const { bench } = (await import(`./${name}/index.ts`)) as { bench: () => Promise<{ table: string; result: object }> }
const began = Date.now()
const { table, result } = await bench()
mkdirSync('out/bench', { recursive: true })
writeFileSync(`out/bench/${name}.json`, `${JSON.stringify(result, undefined, 2)}\n`)
console.log(`${table}\n\nout/bench/${name}.json, after ${Math.round((Date.now() - began) / 1000)} s`)
process.exit()
