// `npm run bench -- NAME`: runs one of the benchmarks in this folder, prints its table and writes out/bench/NAME.json.
// `npm run bench -- publish [NAME …]`: copies those results to docs/measurements/, from which the documentation is
// made.
import { mkdirSync, writeFileSync } from 'node:fs'
import { publish } from '../dev/measurements.ts'

const names = ['detect', 'engines', 'experiments', 'faults', 'lossless', 'scale', 'simulate', 'split', 'startup']
const [name = '', ...rest] = process.argv.slice(2)

if (name === 'publish') {
  const published = publish(rest)
  console.log(
    published.length === 0
      ? 'out/bench has no results to publish; run a benchmark first'
      : `published ${published.join(', ')}; run \`node dev/generate.ts\` and commit docs/`,
  )
  process.exit(published.length === 0 ? 1 : 0)
}
if (!names.includes(name)) {
  console.error(`expected publish or one of ${names.join(', ')}, got ${name === '' ? 'nothing' : name}`)
  process.exit(2)
}
const { bench } = (await import(`./${name}/index.ts`)) as { bench: () => Promise<{ table: string; result: object }> }
const began = Date.now()
const { table, result } = await bench()
mkdirSync('out/bench', { recursive: true })
writeFileSync(`out/bench/${name}.json`, `${JSON.stringify(result, undefined, 2)}\n`)
console.log(`${table}\n\nout/bench/${name}.json, after ${Math.round((Date.now() - began) / 1000)} s`)
process.exit()
