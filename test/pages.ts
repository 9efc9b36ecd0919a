// The pages that people read, and the fenced blocks in them.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** `follows`: nothing stands between the block before it and it. */
export type Block = { page: string; line: number; language: string; text: string; follows: boolean }

/** README, CONTRIBUTING, all of docs and the READMEs of the examples, as paths from the root. */
export function pages(): string[] {
  const under = (folder: string) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file))
  return [
    'README.md',
    'CONTRIBUTING.md',
    ...under('docs').filter((file) => file.endsWith('.md')),
    ...under('examples').filter((file) => file.endsWith('README.md')),
  ].sort()
}

export function blocksOf(page: string, content = readFileSync(page, 'utf8')): Block[] {
  const found = [...content.matchAll(/^( *)```([^\n]*)\n([\s\S]*?)^ *```$/gm)]
  return found.map(({ 1: indent = '', 2: language = '', 3: body = '', index }, i) => {
    const before = found[i - 1]
    return {
      page,
      language,
      line: content.slice(0, index).split('\n').length,
      text: body.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
      follows: before !== undefined && content.slice(before.index + before[0].length, index).trim() === '',
    }
  })
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
