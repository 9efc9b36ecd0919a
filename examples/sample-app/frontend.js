// The frontend: answers with what the backend says, on :3000, and asks it STEADY_RPS times a second by itself,
// as users would. A line of JSON a second tells the totals: {"traffic":{"sent":…,"failed":…,"versions":{"v1":…}}}.
import { Agent, createServer, get } from 'node:http'

const { BACKEND_URL = 'http://backend:3001/', STEADY_RPS = '0' } = process.env
const agent = new Agent({ keepAlive: true, maxSockets: 64 })
const traffic = { sent: 0, failed: 0, versions: {} }

// Joins the spans of both sidecars to one trace: only the application knows which call belongs to which request.
const traceHeaders = [
  'traceparent',
  'tracestate',
  'x-request-id',
  'b3',
  'x-b3-traceid',
  'x-b3-spanid',
  'x-b3-parentspanid',
  'x-b3-sampled',
  'x-b3-flags',
]

function askBackend(received = {}) {
  const headers = Object.fromEntries(
    traceHeaders.filter((name) => received[name] !== undefined).map((name) => [name, received[name]]),
  )
  return new Promise((resolve) => {
    const request = get(BACKEND_URL, { agent, headers, timeout: 10_000 }, (response) => {
      let text = ''
      response
        .setEncoding('utf8')
        .on('data', (chunk) => (text += chunk))
        .on('end', () => resolve({ status: response.statusCode, text }))
    })
    request.on('timeout', () => request.destroy(new Error('timeout')))
    request.on('error', (error) => resolve({ status: 0, text: error.message }))
  })
}

async function user() {
  const { status, text } = await askBackend()
  traffic.sent += 1
  if (status !== 200) {
    console.error(`backend: ${status} ${text}`)
    return void (traffic.failed += 1)
  }
  const { version } = JSON.parse(text)
  traffic.versions[version] = (traffic.versions[version] ?? 0) + 1
}

const server = createServer(async (request, response) => {
  if (request.url === '/healthz') return response.end('ok')
  const { status, text } = await askBackend(request.headers)
  response.writeHead(status || 502, { 'content-type': 'application/json' }).end(text)
})
server.keepAliveTimeout = 3_700_000
server.listen(3000, () => console.log('frontend listens on :3000'))

if (Number(STEADY_RPS) > 0) {
  setInterval(() => void user(), 1000 / Number(STEADY_RPS))
  setInterval(() => console.log(JSON.stringify({ traffic })), 1000)
}
process.on('SIGTERM', () => process.exit())
