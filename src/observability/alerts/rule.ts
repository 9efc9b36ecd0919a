// An alerting rule as Prometheus reads it, and one that cannot be written. Pure.
// https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/

/** `for`: how long the expression must hold, such as `5m`. `annotations` may use Go templates of Prometheus. */
export type AlertRule = {
  alert: string
  expr: string
  for: string
  labels: { severity: 'critical' | 'warning' } & Record<string, string>
  annotations: { summary: string; description: string; action: string }
}

export type RuleGroup = { name: string; rules: AlertRule[] }

/** `unwatched`: one sentence for each rule that the metrics do not allow. */
export type Alerts = { rules: AlertRule[]; unwatched: string[] }

/** Whole minutes as PromQL writes them, rounded up. */
export function minutes(ms: number): string {
  return `${Math.ceil(ms / 60_000)}m`
}
