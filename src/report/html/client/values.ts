// Values as text, in the axes, in the readout and in the tables.
import { evidenceText } from '../../../statistics/evidence.ts'
import type { ChartSpec } from '../chart-spec.ts'

export function timeText(seconds: number): string {
  if (Math.abs(seconds) < 120) return `${Number(seconds.toFixed(1))} s`
  const whole = Math.round(seconds)
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60]
  const rest = String(whole % 60).padStart(2, '0')
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, '0')}:${rest} h` : `${minutes}:${rest} min`
}

/** The name of the `i`th value of x. */
export function nameOfX({ categories, x }: ChartSpec, i: number): string {
  return categories?.[i] ?? timeText(x[i]!)
}

export function valueText({ unit }: ChartSpec, value: number | null | undefined): string {
  if (value === null || value === undefined) return '–'
  if (unit === '%') return `${Number(value.toFixed(2))}%`
  if (unit === 'E') return evidenceText(value)
  return unit === 'per second' ? `${shortNumber(value)}/s` : shortNumber(value)
}

const shortNumber = (value: number) => String(Number(value.toPrecision(4)))
