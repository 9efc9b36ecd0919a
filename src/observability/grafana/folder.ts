// Finds the folder that the dashboards go into, by its UID or its title.
import { listNames } from '../../runtime/errors.ts'
import { type GrafanaApi, GrafanaRefusal } from './api.ts'

type Folder = { uid: string; title: string; canSave?: boolean }

const key = 'observability.dashboards.grafana.folder'
const tokenKey = 'observability.dashboards.grafana.token'

/** Those that contain the root folder, as Grafana's access control writes them. */
const rootScopes = ['*', 'folders:*', 'folders:uid:*', 'folders:uid:general']

/**
 * The folder's UID; undefined for the root folder, if none is named.
 * @throws Error with one sentence if there is no such folder, or if the token may not write to it.
 */
export async function folderUid(api: GrafanaApi, folder: string | undefined): Promise<string | undefined> {
  // Also shows whether the server is a Grafana that accepts the token.
  const folders = (await api('GET', '/api/search?type=dash-folder&limit=5000')) as Folder[]
  if (!Array.isArray(folders))
    throw new Error('observability.dashboards.grafana.url: the answer is not that of a Grafana; check the address')
  if (folder === undefined) {
    await requireWritableRoot(api)
    return undefined
  }
  const matching = folders.filter(({ uid, title }) => uid === folder || title === folder)
  if (matching.length > 1)
    throw new Error(
      `${key}: ${folder} is the title of ${matching.length} folders; write the UID of one: ${listNames(matching.map(({ uid }) => uid))}`,
    )
  const uid = matching[0]?.uid ?? folder
  await requireWritable(api, uid, folder, folders)
  return uid
}

/** Grafana names the rights of the token. Before version 9 it has no such list; there only the write shows them. */
async function requireWritableRoot(api: GrafanaApi): Promise<void> {
  const rights = (await api('GET', '/api/access-control/user/permissions').catch((error: unknown) => {
    if (!(error instanceof GrafanaRefusal) || error.status === 401) throw error
    return undefined
  })) as Record<string, string[]> | undefined
  if (rights === undefined) return
  const places = rights['dashboards:create'] ?? []
  if (places.some((scope) => rootScopes.includes(scope))) return
  throw new Error(
    `${tokenKey}: it may not write dashboards to the root folder; give its service account the role Editor, or name a ` +
      'folder that it may edit (`folder`)',
  )
}

/** A search lists only folders that the token may see, and not the newest. */
async function requireWritable(api: GrafanaApi, uid: string, folder: string, known: Folder[]): Promise<void> {
  const { canSave } = (await api('GET', `/api/folders/${encodeURIComponent(uid)}`).catch((error: unknown) => {
    if (!(error instanceof GrafanaRefusal) || error.status !== 404) throw error
    const names = known.map(({ title }) => title)
    throw new Error(
      `${key}: Grafana has no folder with the UID or title ${folder}; create it, or set one of: ${listNames(names) || 'none exists'}`,
    )
  })) as Folder
  if (canSave === false)
    throw new Error(
      `${tokenKey}: it may not write to the folder ${folder}; give its service account the right to edit it`,
    )
}
