// A chart as plain data: what page.ts puts into the page, and client/ draws. Types only.

/** What a line stands for; it has one colour in all charts. `asked`: what the plan asks for. */
export type Role = 'canary' | 'stable' | 'asked' | 'users' | 'against' | 'for' | 'undecided'

/** `values`: one for each `x`; null where there is none. `low`, `high`: the interval around them. */
export type Series = {
  name: string
  role: Role
  draw: 'line' | 'stairs' | 'bars'
  values: (number | null)[]
  low?: (number | null)[]
  high?: (number | null)[]
}

/** `seconds`: `x` is a time. `categories`: `x` counts them, and `xName` says what they are. */
export type ChartSpec = {
  id: string
  /** Charts of one group show the same moment under the cursor. */
  group: string
  title: string
  x: number[]
  xName: string
  categories?: string[]
  unit: '%' | 'per second' | 'requests' | 'E'
  scale: { kind: 'linear' | 'log'; low: number; high: number }
  stacked?: true
  series: Series[]
  limits?: { name: string; role: Role; value: number }[]
  /** The times at which steps began. */
  marks?: { x: number; label: string }[]
}
