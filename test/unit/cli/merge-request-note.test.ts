import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { writeNote } from '../../../src/cli/merge-request-note.ts'
import type { AfterRun } from '../../../src/report/after-run.ts'
import { markerOf } from '../../../src/report/replace-comment.ts'
import { reportId } from '../../../src/report/report-id.ts'
import { emptyReport, type Report } from '../../../src/report/report.ts'
import { configOf } from '../fixtures.ts'

type Note = { id: number; body: string; system: boolean; author: { id: number } }

/**
 * A stand-in for GitLab's API, as its documentation describes it. `status`: what every request gets instead. `outages`:
 * how many of the requests of each method it answers with 502 first.
 */
async function gitlab(notes: Note[] = [], status = 200, outages = 0) {
  const left: Record<string, number> = {}
  const server = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk) => (text += String(chunk)))
    request.on('end', () => {
      const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost')
      const { body = '' } = (text === '' ? {} : JSON.parse(text)) as { body?: string }
      const send = (code: number, value: unknown, headers = {}) =>
        response.writeHead(code, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value))
      if (status !== 200) return send(status, { message: 'no' })
      const method = request.method ?? ''
      left[method] ??= outages
      if (left[method]-- > 0) return send(502, { message: 'bad gateway' })
      if (request.headers['private-token'] !== 'secret') return send(401, {})
      if (pathname === '/api/v4/user') return send(200, { id: 5 })
      const [, id] = /^\/api\/v4\/projects\/42\/merge_requests\/7\/notes(?:\/(\d+))?$/.exec(pathname) ?? []
      const page = Number(searchParams.get('page'))
      if (request.method === 'GET') {
        const next = page * 100 < notes.length ? String(page + 1) : ''
        return send(200, notes.slice(100 * page - 100, 100 * page), { 'x-next-page': next })
      }
      if (request.method === 'DELETE') {
        notes.splice(
          notes.findIndex((note) => note.id === Number(id)),
          1,
        )
        return response.writeHead(204).end()
      }
      if (request.method === 'POST') notes.push({ id: notes.length + 1, body, system: false, author: { id: 5 } })
      else notes.find((note) => note.id === Number(id))!.body = body
      return send(200, {})
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const env = {
    CI_API_V4_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v4`,
    CI_PROJECT_ID: '42',
    CI_MERGE_REQUEST_IID: '7',
    CI_MERGE_REQUEST_PROJECT_ID: '42',
    CI_MERGE_REQUEST_SOURCE_PROJECT_ID: '42',
    CI_JOB_URL: 'https://gitlab.example/acme/shop/-/jobs/1',
    CI_COMMIT_SHA: '0123456789abcdef0123456789abcdef01234567',
    GITLAB_TOKEN: 'secret',
  }
  return { notes, env }
}

let lines: string[]
beforeEach(() => {
  lines = []
})
const config = configOf('name: shop\nnamespace: shop\ncomment: true')
const report: Report = { ...emptyReport('shop', new Date(0), false), outcome: 'failure', error: 'too slow' }
const nothingDone: AfterRun = { lines: [], isTrafficUnsafe: false }
const write = (env: NodeJS.ProcessEnv, of = config, result = report, after = nothingDone) =>
  writeNote(of, { report: result, written: {}, after }, env, {
    info: (line) => void lines.push(line),
    warning: (line) => void lines.push(`warning: ${line}`),
  })
const marker = markerOf(reportId(config, {}))

describe('the note on a merge request', () => {
  test('is one after three runs, and shows the last', async () => {
    const { notes, env } = await gitlab()
    for (const error of ['first', 'second', 'third']) await write(env, config, { ...report, error })
    expect(notes).toHaveLength(1)
    expect(notes[0]!.body.startsWith(marker)).toBe(true)
    expect(notes[0]!.body).toContain('> third')
    expect(notes[0]!.body).toContain('[the run](https://gitlab.example/acme/shop/-/jobs/1)')
    expect(notes[0]!.body).toContain('commit `0123456789ab`')
  })

  test('is of the newest run, and one again after two runs at once', async () => {
    const own = (id: number) => ({ id, body: `${marker}\nof two runs`, system: false, author: { id: 5 } })
    const { notes, env } = await gitlab([own(1), own(2)])
    await write(env, config, { ...report, startedAt: '2026-11-30T08:00:00.000Z', error: 'of the newer' })
    await write(env, config, { ...report, startedAt: '2026-11-30T07:00:00.000Z', error: 'of the older' })
    expect(notes.map(({ body }) => body.includes('> of the newer'))).toEqual([true])
    expect(lines.at(-1)).toContain('shows a later result')
  })

  test('is written although GitLab fails for a moment, but not created twice', async () => {
    const own = (id: number) => ({ id, body: `${marker}\nof two runs`, system: false, author: { id: 5 } })
    const { notes, env } = await gitlab([own(1), own(2)], 200, 1)
    await write(env)
    expect(notes.map(({ body }) => body.includes('> too slow'))).toEqual([true])
    const empty = await gitlab([], 200, 1)
    await write(empty.env)
    expect(empty.notes).toEqual([])
    expect(lines.at(-1)).toContain('warning: comment: GitLab answers 502')
  })

  test('is found behind many others, and leaves alone what somebody else wrote with its marker', async () => {
    const others = Array.from({ length: 150 }, (_, i) => ({ id: i, body: marker, system: false, author: { id: 6 } }))
    const { notes, env } = await gitlab([...others, { id: 300, body: marker, system: false, author: { id: 5 } }])
    await write(env)
    expect(notes).toHaveLength(151)
    expect(notes[150]!.body).toContain('> too slow')
    expect(notes[0]!.body).toBe(marker)
  })

  test.each<[string, NodeJS.ProcessEnv, string]>([
    ['no merge request', { CI_MERGE_REQUEST_IID: '' }, 'comment: this run belongs to no merge request of GitLab'],
    ['a fork', { CI_MERGE_REQUEST_SOURCE_PROJECT_ID: '43' }, 'comment: nothing for the merge request of a fork'],
    ['no token', { GITLAB_TOKEN: '' }, 'warning: comment: there is no token; set the variable GITLAB_TOKEN'],
    ['a wrong token', { GITLAB_TOKEN: 'x' }, 'warning: comment: GitLab does not accept GITLAB_TOKEN'],
    ['no GitLab', { CI_API_V4_URL: 'http://127.0.0.1:9/api/v4' }, 'warning: comment: '],
  ])('is not written, and the log says why, with %s', async (_, change, line) => {
    const { notes, env } = await gitlab()
    await write({ ...env, ...change })
    expect(lines.join('\n')).toContain(line)
    expect(notes).toEqual([])
  })

  test('says what was done after the run, and that the traffic may not be safe', async () => {
    const { notes, env } = await gitlab()
    await write(env, config, report, { lines: ['backend is back on v1'], isTrafficUnsafe: false })
    expect(notes[0]!.body).toMatch(/\n\nAfter the run: backend is back on v1\n\n1970-01-01 00:00 UTC · .*\n$/)
    await write(env, config, report, { lines: [], isTrafficUnsafe: true })
    expect(notes[0]!.body).toContain('\n⛔ After the run: the recovery failed, and the traffic may not be safe; ')
  })

  test('names the commit of the branch in a pipeline of merged results, and of the job else', async () => {
    const { notes, env } = await gitlab()
    await write({ ...env, CI_MERGE_REQUEST_SOURCE_BRANCH_SHA: 'fedcba9876543210fedcba9876543210fedcba98' })
    expect(notes[0]!.body).toContain('commit `fedcba987654`')
    await write({ ...env, CI_MERGE_REQUEST_SOURCE_BRANCH_SHA: '' })
    expect(notes[0]!.body).toContain('commit `0123456789ab`')
  })

  test('names the scope that a token lacks', async () => {
    const { env } = await gitlab([], 403)
    await write(env)
    expect(lines[0]).toBe(
      'warning: comment: GITLAB_TOKEN may not do that (403); it needs the scope `api` and the role Reporter or higher in this project',
    )
  })

  test('is not written unless the config asks for it', async () => {
    const { notes, env } = await gitlab()
    await write(env, configOf('name: shop'))
    expect({ notes, lines }).toEqual({ notes: [], lines: [] })
  })
})
