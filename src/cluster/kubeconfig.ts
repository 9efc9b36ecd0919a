// Reads and merges kubeconfigs as kubectl does: files that are absent are skipped, the first entry of a name wins, as
// does the first current-context, and a path is relative to the file that names it.
import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { ConfigError } from '../config/error.ts'
import { isMap } from '../runtime/is-map.ts'
import { YamlError } from '../yaml/faults.ts'
import { parse, type YamlDocument } from '../yaml/parse.ts'

type Part = Record<string, unknown>
/** An entry of a list, such as `{ name, cluster: { server, … } }`. */
type Entry = Part & { name: string }
/** `source`: the file, or other words for a message. */
export type Kubeconfig = {
  source: string
  clusters: Entry[]
  users: Entry[]
  contexts: Entry[]
  'current-context'?: string
}

const wanted = 'it must be a kubeconfig in YAML or JSON, as `kubectl config view --raw --minify` prints it'

/** The files that exist. @throws ConfigError for a file that is no kubeconfig. */
export function readFiles(files: readonly string[]): Kubeconfig {
  const found = files.filter(existsSync)
  const all = found.map((file) => read(contentOf(file), `the kubeconfig ${file}`, dirname(resolve(file))))
  return merged(all, `the kubeconfig ${found.join(', ')}`)
}

function contentOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new ConfigError(`kubeconfig: the file ${file} cannot be read (${code}); give the path of a readable file`)
  }
}

/** Relative paths in `text` are relative to `folder`. */
export function read(text: string, source: string, folder: string): Kubeconfig {
  const document = parsed(text, source)
  const value = document.value ?? {}
  if (!isMap(value)) throw new ConfigError(`kubeconfig: ${source} does not parse; ${wanted}`)
  const list = (key: string): Entry[] => (Array.isArray(value[key]) ? value[key] : []).filter(isEntry)
  const config = {
    source,
    clusters: list('clusters').map((each) => absolute(each, 'cluster', ['certificate-authority'], folder)),
    users: list('users').map((each) => userOf(each, folder)),
    contexts: list('contexts'),
    ...(value['current-context'] ? { 'current-context': value['current-context'] as string } : {}),
  }
  const faults = textFaults(document, config)
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
  return config
}

function isEntry(entry: unknown): entry is Entry {
  return isMap(entry) && entry['name'] !== undefined && entry['name'] !== ''
}

/** A parser's message may quote the file, and with it a secret: only the line is safe to show. */
function parsed(text: string, source: string): YamlDocument {
  try {
    return parse(text)
  } catch (error) {
    if (!(error instanceof YamlError)) throw error
    throw new ConfigError(`kubeconfig: ${source} does not parse (line ${error.line}); ${wanted}`)
  }
}

function absolute(entry: Entry, key: string, paths: readonly string[], folder: string): Entry {
  const section = isMap(entry[key]) ? entry[key] : {}
  const given = paths.filter((path) => typeof section[path] === 'string' && section[path] !== '')
  // Data in the kubeconfig outranks a file.
  const changed = given.map((path) => [
    path,
    section[`${path}-data`] ? undefined : resolve(folder, section[path] as string),
  ])
  return { ...entry, [key]: { ...section, ...(Object.fromEntries(changed) as Part) } }
}

function userOf(entry: Entry, folder: string): Entry {
  const user = absolute(entry, 'user', ['client-certificate', 'client-key', 'tokenFile'], folder)
  const section = user['user'] as Part
  const { exec, tokenFile, token: _token, ...rest } = section
  // The library knows no tokenFile. A file's token outranks one in the kubeconfig, and is read again as it changes.
  if (typeof tokenFile === 'string' && tokenFile !== '')
    return { ...user, user: { ...rest, 'auth-provider': { name: 'tokenFile', config: { tokenFile } } } }
  const command = isMap(exec) ? exec['command'] : undefined
  // A command with a slash is a path, any other is looked up on the PATH.
  if (typeof command !== 'string' || !command.includes('/')) return user
  return { ...user, user: { ...section, exec: { ...(exec as Part), command: resolve(folder, command) } } }
}

/** One sentence for each text that YAML reads as a number or as true or false. No value is shown: it may be a secret. */
function textFaults({ lineOf }: YamlDocument, { source, clusters, users, contexts, ...rest }: Kubeconfig): string[] {
  const isText = (value: unknown) => value === undefined || value === null || typeof value === 'string'
  const fault = (path: (string | number)[], words: string) =>
    `kubeconfig: ${source}, line ${lineOf(path)}: ${words} is not text for YAML, but ` +
    'a number or a truth value; put it in quotes'
  const inList = (list: string, section: string, entries: Entry[], keys: string[]) =>
    entries.flatMap((entry, i) => [
      ...(isText(entry.name) ? [] : [fault([list, i, 'name'], `the name of an entry of ${list}`)]),
      ...keys
        .filter((key) => !isText((entry[section] as Part | undefined)?.[key]))
        .map((key) => fault([list, i, section, key], `${key} of ${entry.name}`)),
    ])
  return [
    ...(isText(rest['current-context']) ? [] : [fault(['current-context'], 'current-context')]),
    ...inList('clusters', 'cluster', clusters, [
      'server',
      'certificate-authority-data',
      'proxy-url',
      'tls-server-name',
    ]),
    ...inList('users', 'user', users, ['token', 'username', 'password', 'client-certificate-data', 'client-key-data']),
    ...inList('contexts', 'context', contexts, ['cluster', 'user', 'namespace']),
  ]
}

function merged(all: readonly Kubeconfig[], source: string): Kubeconfig {
  const current = all.find((each) => each['current-context'] !== undefined)?.['current-context']
  const first = (list: 'clusters' | 'users' | 'contexts') => {
    const entries = all.flatMap((each) => each[list])
    return entries.filter((entry, i) => entries.findIndex(({ name }) => name === entry.name) === i)
  }
  return {
    source,
    clusters: first('clusters'),
    users: first('users'),
    contexts: first('contexts'),
    ...(current === undefined ? {} : { 'current-context': current }),
  }
}

/** Where kubectl looks if nobody names a kubeconfig. */
export function homeKubeconfig(): string {
  return join(homedir(), '.kube', 'config')
}
