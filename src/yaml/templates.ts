// Recognizes templates: text that another program has to render first. Pure.
import { isBlank } from './faults.ts'

/** What begins a placeholder on GitHub, in Helm and most other template languages, in Jinja, in ERB, and in envsubst. */
const mark = /\$\{\{|\{\{|\{%|<%|\$\{/

/** The first mark of a template language in the text. */
export function templateMark(text: string): string | undefined {
  return mark.exec(text)?.[0]
}

/** The first mark outside comments, and its line, counted from 1. */
export function firstTemplateMark(text: string): { line: number; mark: string } | undefined {
  for (const [i, line] of text.split('\n').entries()) {
    const found = isBlank(line) ? undefined : templateMark(line)
    if (found !== undefined) return { line: i + 1, mark: found }
  }
  return undefined
}

/** Begins a sentence about a template. */
export function templateFault(found: string): string {
  return `this is a template (\`${found}\`); render it first, for example with ${renderers[found]!}, and use the output`
}

const renderers: Record<string, string> = {
  '${{': 'a step before this one, because GitHub fills it in only in workflow files',
  '{{': '`helm template`',
  '{%': 'the program that it is written for',
  '<%': 'the program that it is written for',
  '${': '`envsubst`',
}
