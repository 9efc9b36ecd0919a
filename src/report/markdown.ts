// Markdown as GitHub renders it: sections, tables, code that cannot break out. Pure.

export function section(title: string, body: string): string {
  return `### ${title}\n\n${body}`
}

export function table(heads: string[], rows: string[][], cell = escape): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`
  return [line(heads), line(heads.map(() => '---')), ...rows.map((row) => line(row.map(cell)))].join('\n')
}

/** Markdown ends a line, and with it a table's row, at a carriage return too. */
const lineEnds = /[\r\n]+/g

/** Names and log lines come from the cluster: they must not become markup. */
export function escape(text: string): string {
  return text.replace(/[\\`*_{}[\]<>|#~]/g, (sign) => `\\${sign}`).replace(lineEnds, ' ')
}

/** A block of code. Its fence is longer than any that log lines and diffs hold, so that none of them can end it. */
export function codeBlock(language: string, lines: readonly string[]): string {
  return [`\`\`\`\`\`${language}`, ...lines.map((line) => line.replaceAll('`````', "'''''")), '`````'].join('\n')
}
