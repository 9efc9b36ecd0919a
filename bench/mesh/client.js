// A user in the mesh: sends RPS requests a second to the service HOST. It logs each response that is not a 200 of v1 with
// the time, and once a second its totals and the last response of each version. KEEP_ALIVE=false opens a connection per
// request.
import { Agent, get } from 'node:http'

const { HOST = 'backend', RPS = '50', KEEP_ALIVE = 'true' } = process.env
const agent = new Agent({ keepAlive: KEEP_ALIVE === 'true', maxSockets: 256 })
const totals = { sent: 0, v1: 0, v2: 0, failed: 0 }
const last = {}
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)

function note(status, text) {
  const version = /"version":"(v\d)"/.exec(text)?.[1]
  totals.sent++
  if (version) totals[version]++
  if (version) last[version] = Date.now()
  if (status !== 200) totals.failed++
  if (version !== 'v1' || status !== 200) say({ at: Date.now(), version: version ?? 'none', status })
}

function ask() {
  const request = get({ host: HOST, port: 3001, path: '/', agent, timeout: 10_000 }, (response) => {
    let text = ''
    response
      .setEncoding('utf8')
      .on('data', (chunk) => (text += chunk))
      .on('end', () => note(response.statusCode, text))
  })
  request.on('timeout', () => request.destroy(new Error('timeout')))
  request.on('error', (error) => note(0, error.message))
}

// A late timer sends all requests that are due, so that the rate is right on a busy machine too.
const began = Date.now()
let asked = 0
setInterval(() => {
  for (const due = ((Date.now() - began) / 1000) * Number(RPS); asked < due; asked++) ask()
}, 5)
setInterval(() => say({ at: Date.now(), totals, last }), 1000)
process.on('SIGTERM', () => process.exit())
