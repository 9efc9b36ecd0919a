// istioctl's analysis of what is in the cluster together with what is about to be written there.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import type { KubeObject } from '../cluster/objects.ts'
import { run } from '../istioctl/run.ts'

/** A sentence each, with code, object and message. */
export type Analysis = { errors: string[]; warnings: string[] }
export type AnalyzeOptions = { istioctl: string; cliArgs: readonly string[]; namespace: string; suppress: readonly string[]; tempDir: string; signal: AbortSignal }

/** Rejects when istioctl cannot analyze at all. */
export async function analyze(objects: readonly KubeObject[], { istioctl, cliArgs, namespace, suppress, tempDir, signal }: AnalyzeOptions): Promise<Analysis> {
  const folder = await mkdtemp(join(tempDir, 'mesh-canary-analyze-'))
  try {
    const file = join(folder, 'new.yaml')
    await writeFile(file, objects.map((object) => stringify(object, { aliasDuplicateObjects: false })).join('---\n'))
    const files = objects.length > 0 ? [file] : []
    const { code, stdout, stderr } = await run(istioctl, ['analyze', ...files, '--use-kube', '-n', namespace, '-o', 'json', ...cliArgs], signal)
    const messages = messagesOf(stdout)
    if (!messages) throw new Error(`istioctl analyze (exit code ${code}) gave no result: ${stderr.trim().split('\n').slice(-3).join(' ') || 'it said nothing'}`)
    return judged(messages, suppress)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

export type Message = { code?: string; level?: string; message?: string; origin?: string; reference?: string }

/** The list in what istioctl printed; `null` and nothing at all are an empty one. Undefined when it is no JSON. */
export function messagesOf(stdout: string): Message[] | undefined {
  const start = stdout.search(/^\s*(\[|null)/m)
  if (start < 0) return undefined
  try {
    const value: unknown = JSON.parse(stdout.slice(start))
    return Array.isArray(value) ? (value as Message[]) : []
  } catch {
    return undefined
  }
}

export function judged(messages: readonly Message[], suppress: readonly string[]): Analysis {
  const heard = messages.filter(({ code }) => !suppress.includes(code ?? ''))
  const told = (level: RegExp) => [...new Set(heard.filter((each) => level.test(each.level ?? '')).map(sentence))]
  return { errors: told(/^error$/i), warnings: told(/^warn(ing)?$/i) }
}

function sentence({ code = 'no code', origin, message = '' }: Message): string {
  return `${code}: ${origin === undefined ? '' : `${origin}: `}${message}`
}
