// Parses lines of a sidecar's log, `time TAB level TAB scope TAB message TAB thread`. Pure.

/** The line without its time, level, source position and thread. */
export function logMessage(line: string): string {
  const columns = line
    .split('\t')
    .filter(
      (column) => !/^\d{4}-\d\d-\d\dT\S+$/.test(column) && !/^(debug|info|warn|warning|error|critical)$/.test(column),
    )
  return (
    columns
      .filter((column) => !/^thread=\d+$/.test(column) && !/^envoy .*\.(cc|h):\d+$/.test(column))
      .join(' ')
      .trim() || line.trim()
  )
}

/** Milliseconds since the epoch; 0 for a line without a time. */
export function logTime(line: string): number {
  return Date.parse(line.split('\t')[0] ?? '') || 0
}
