// Builds the Grafana dashboards with Grafana's own SDK. `node dev/generate.ts` writes them to src/observability/dashboards/:
// the program needs only the JSON, and the SDK would add a tenth to its size.
import { canaryDashboard } from './canary.ts'
import { servicesDashboard } from './services.ts'

const folder = 'src/observability/dashboards'

export function dashboardFiles(): { file: string; text: string }[] {
  return [
    { file: `${folder}/services.json`, text: servicesDashboard() },
    { file: `${folder}/canary.json`, text: canaryDashboard() },
  ]
}
