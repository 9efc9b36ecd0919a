// A stand-in for Grafana, which cannot be had here: the part of its HTTP API that the program uses, as its documentation
// describes it (https://grafana.com/docs/grafana/latest/developers/http_api/). It shows that the program follows the
// documentation, not that Grafana does.
import { randomUUID } from 'node:crypto'
import { type ReceivedRequest, serve } from '../fixtures.ts'

type Stored = { content: Record<string, unknown>; folderUid: string; version: number; provisioned: boolean }
type Folder = { uid: string; title: string; canSave?: boolean }
export type StandIn = {
  url: string
  requests: ReceivedRequest[]
  dashboards: Map<string, Stored>
  annotations: { time: number; tags: string[]; text: string }[]
}

export const token = 'glsa_valid'

/** `rights`: of the token, as Grafana's access control lists them; undefined for a Grafana without it. */
type Rights = Record<string, string[]> | undefined
export const editor: Rights = { 'dashboards:create': ['folders:*'] }

export async function grafanaStandIn({ folders = [] as Folder[], rights = () => editor } = {}): Promise<StandIn> {
  const dashboards: StandIn['dashboards'] = new Map()
  const annotations: StandIn['annotations'] = []
  const { address, requests } = await serve((request, response) => {
    const { status, body } = answer(request)
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  const notFound = (message: string) => ({ status: 404, body: { message } })

  function answer({ method, url, headers, body }: ReceivedRequest): { status: number; body: unknown } {
    if (headers.authorization !== `Bearer ${token}`) return { status: 401, body: { message: 'Invalid API key' } }
    const { pathname, searchParams } = new URL(url, 'http://grafana')
    const [, , resource = '', ...rest] = pathname.split('/').map(decodeURIComponent)
    if (method === 'GET' && resource === 'search' && searchParams.get('type') === 'dash-folder')
      return { status: 200, body: folders.map(({ uid, title }) => ({ uid, title, type: 'dash-folder' })) }
    if (method === 'GET' && resource === 'folders') {
      const folder = folders.find(({ uid }) => uid === rest[0])
      return folder ? { status: 200, body: { canSave: true, ...folder } } : notFound('folder not found')
    }
    if (method === 'GET' && resource === 'access-control') {
      const body = rights()
      return body ? { status: 200, body } : notFound('Not found')
    }
    if (method === 'POST' && resource === 'annotations') {
      annotations.push(JSON.parse(body) as StandIn['annotations'][number])
      return { status: 200, body: { message: 'Annotation added', id: annotations.length } }
    }
    if (method === 'POST' && resource === 'dashboards') return write(JSON.parse(body) as Write)
    return resource === 'dashboards' ? one(method, rest[1] ?? '') : notFound('Not found')
  }

  type Write = { dashboard: Record<string, unknown>; folderUid?: string; overwrite?: boolean }

  function write({ dashboard, folderUid = '', overwrite = false }: Write) {
    const uid = (dashboard['uid'] as string | undefined) ?? randomUUID()
    const before = dashboards.get(uid)
    if (before && !overwrite && before.version !== dashboard['version'])
      return {
        status: 412,
        body: { message: 'The dashboard has been changed by someone else', status: 'version-mismatch' },
      }
    const version = (before?.version ?? 0) + 1
    dashboards.set(uid, { content: dashboard, folderUid, version, provisioned: false })
    return { status: 200, body: { uid, version, status: 'success', url: `/d/${uid}` } }
  }

  function one(method: string, uid: string) {
    const found = dashboards.get(uid)
    if (!found) return notFound('Dashboard not found')
    if (method === 'DELETE') dashboards.delete(uid)
    const { content, folderUid, version, provisioned } = found
    const dashboard = { ...content, id: 7, version }
    return method === 'DELETE'
      ? { status: 200, body: { title: content['title'], message: 'Dashboard deleted' } }
      : { status: 200, body: { dashboard, meta: { folderUid, provisioned, version } } }
  }

  return { url: address, requests, dashboards, annotations }
}
