// The backend: reads rows from MySQL and answers them as JSON on :3001.
// FAIL_RATE (0–1) of the answers are 500s, DELAY_MS comes before each and SLOW_MS before SLOW_RATE (0–1) of them instead,
// CRASH_AFTER_MS ends the process: variants of v2.
import { createServer } from 'node:http'
import mysql from 'mysql2/promise'

const {
  VERSION = 'v1',
  FAIL_RATE = '0',
  DELAY_MS = '0',
  SLOW_RATE = '0',
  SLOW_MS = '0',
  CRASH_AFTER_MS,
  MYSQL_HOST = 'mysql',
  MYSQL_USER,
  MYSQL_PASSWORD,
  MYSQL_DATABASE,
} = process.env

const pool = mysql.createPool({
  host: MYSQL_HOST,
  user: MYSQL_USER,
  password: MYSQL_PASSWORD,
  database: MYSQL_DATABASE,
  connectionLimit: 5,
})

async function items(response) {
  await new Promise((resolve) => setTimeout(resolve, Number(Math.random() < Number(SLOW_RATE) ? SLOW_MS : DELAY_MS)))
  if (Math.random() < Number(FAIL_RATE)) {
    console.error('500: this version fails on purpose')
    return answer(response, 500, { version: VERSION, error: 'this version fails on purpose' })
  }
  const [rows] = await read('SELECT id, name FROM items ORDER BY id')
  answer(response, 200, { version: VERSION, items: rows })
}

// A sidecar closes the TCP connections of a configuration that was replaced, such as another mTLS mode, when its time
// to drain ends. A read is safe to repeat.
function read(sql) {
  return pool.query(sql).catch((error) => {
    if (error.code !== 'PROTOCOL_CONNECTION_LOST') throw error
    console.error('MySQL: the connection was closed; repeats the query')
    return pool.query(sql)
  })
}

function answer(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

const server = createServer((request, response) => {
  if (request.url === '/healthz') return answer(response, 200, { version: VERSION })
  items(response).catch((error) => {
    console.error(`MySQL: ${error.code ?? ''} ${error.message}`)
    answer(response, 503, { version: VERSION, error: error.message })
  })
})

// A call's connection outlives the proxy's idle time, so that the server never closes one that a request is on its way on.
server.keepAliveTimeout = 3_700_000
server.listen(3001, () => console.log(`backend ${VERSION} listens on :3001`))
// Callers still send for a moment after a pod is told to end: the news has to travel to every proxy.
process.on('SIGTERM', () => setTimeout(() => process.exit(), 3_000))
if (CRASH_AFTER_MS)
  setTimeout(() => {
    console.error('FATAL: this version crashes on purpose')
    process.exit(1)
  }, Number(CRASH_AFTER_MS))
