// The pages that people read, and the fenced blocks in them.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export type Block = { page: string; line: number; language: string; text: string; note: string | undefined }

/** README, CONTRIBUTING, all of docs and the READMEs of the examples, as paths from the root. */
export function pages(): string[] {
  const under = (folder: string) => readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file))
  return ['README.md', 'CONTRIBUTING.md', ...under('docs').filter((file) => file.endsWith('.md')), ...under('examples').filter((file) => file.endsWith('README.md'))].sort()
}

/** `note` is what an HTML comment on the line before the fence says. */
export function blocksOf(page: string, text = readFileSync(page, 'utf8')): Block[] {
  const found = [...text.matchAll(/(?:^<!-- (.+) -->\n)?^( *)```([^\n]*)\n([\s\S]*?)^ *```$/gm)]
  return found.map(({ 1: note, 2: indent = '', 3: language = '', 4: body = '', index }) => ({
    page, language, note,
    line: text.slice(0, index).split('\n').length + (note === undefined ? 0 : 1),
    text: body.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  }))
}

/** The file that a block of YAML is, when its first line says so: `# mesh.yaml`. */
export function fileOf({ text }: Block): string | undefined {
  return /^# (\S+\.ya?ml)$/m.exec(text.split('\n')[0] ?? '')?.[1]
}

/** `workflow`, `steps` of one, a `config` of ours, or `manifests` of others. */
export function kindOf(content: unknown): 'workflow' | 'steps' | 'config' | 'manifests' {
  if (Array.isArray(content)) return 'steps'
  const keys = Object.keys(content ?? {})
  if (keys.includes('jobs')) return 'workflow'
  return keys.some((key) => ['apiVersion', 'metadata', 'spec', 'data'].includes(key)) ? 'manifests' : 'config'
}
