// The start of each object that the stage observe writes, and the kinds of them.
import { managedBy } from '../cluster/labels.ts'
import { apiVersionOf, type Kind, type KubeObject, type Meta } from '../cluster/objects.ts'

/** On every object of the section `observability`, besides the labels of its owner: by it a run finds them again. */
export const componentLabel = 'app.kubernetes.io/component'
export const component = 'observability'
export const nameLabel = 'app.kubernetes.io/name'

/** In the order in which they are created; a run may delete them when its config no longer asks for them. */
export const observabilityKinds = [
  'Namespace',
  'ServiceAccount',
  'Role',
  'RoleBinding',
  'ConfigMap',
  'Service',
  'Deployment',
  'PodMonitor',
  'ServiceMonitor',
  'PrometheusRule',
] as const satisfies Kind[]

/** `app`: the value of the label `app.kubernetes.io/name`; the object's name by default. */
export function observabilityObject<B extends object>(
  kind: Kind,
  { name, namespace, labels, annotations }: Omit<Meta, 'name'> & { name: string },
  body: B,
  app = name,
): KubeObject & B {
  return {
    apiVersion: apiVersionOf(kind),
    kind,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      labels: { ...labels, ...managedBy, [componentLabel]: component, [nameLabel]: app },
      ...(annotations === undefined ? {} : { annotations }),
    },
    ...body,
  }
}
