import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { causeInLogs, explain, isTaken } from '../../../src/kind/errors.ts'
import { tempFolder } from '../fixtures.ts'

const failed = (output: string) =>
  `ERROR: failed to create cluster: command "docker run …" failed with error: exit status 125\n\nCommand Output: docker: Error response from daemon: ${output}`

test.each([
  [
    failed(
      'driver failed programming external connectivity on endpoint a: Bind for 127.0.0.1:80 failed: port is already allocated.',
    ),
    /^cluster\.ports: 127\.0\.0\.1:80 is in use/,
  ],
  [
    failed('failed to bind host port for 127.0.0.1:443:172.18.0.2:30443/tcp: address already in use.'),
    /^cluster\.ports: a port of this machine is in use/,
  ],
  [
    failed(
      'Ports are not available: exposing port TCP 127.0.0.1:80 -> 127.0.0.1:0: listen tcp 127.0.0.1:80: bind: address already in use.',
    ),
    /^cluster\.ports: 127\.0\.0\.1:80 is in use/,
  ],
  [
    'Error: rootlessport cannot expose privileged port 80, you can add …',
    /^cluster\.ports: this user may not open ports below 1024/,
  ],
  [
    'ERROR: failed to create cluster: node(s) already exist for a cluster with the name "shop"',
    /^cluster\.name: another job has just made a cluster shop/,
  ],
  [
    failed('Conflict. The container name "/shop-control-plane" is already in use by container "0a".'),
    /^cluster\.name: another job/,
  ],
  [
    'ERROR: failed to create cluster: failed to pull image "kindest/node:v1.36.9": command "docker pull" failed\n\nCommand Output: manifest for kindest/node:v1.36.9 not found: manifest unknown',
    /^cluster\.image: the node image kindest\/node:v1\.36\.9 cannot be pulled \(not found\)/,
  ],
  [
    'ERROR: failed to create cluster: failed to pull image "kindest/node:v1.36.4": …\n\nCommand Output: toomanyrequests: You have reached your pull rate limit',
    /^cluster\.image: the registry refuses more pulls/,
  ],
  [
    'ERROR: image: "sample-app:2" not present locally',
    /^cluster\.loadImages: the image sample-app:2 is not on this machine/,
  ],
  [
    'ERROR: failed to load image: command "docker exec … ctr images import" failed\n\nCommand Output: ctr: content digest sha256:ab12: not found',
    /^cluster\.loadImages: the runtime lacks a part of an image for several platforms \(sha256:ab12\)/,
  ],
  [
    'permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock',
    /^cluster: this user may not use Docker/,
  ],
  [
    'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?',
    /^cluster: the Docker daemon stopped answering/,
  ],
  [
    'ERROR: failed to create cluster: could not find a log line that matches "Reached target .*Multi-User System.*|detected cgroup v1"',
    /inotify .*max_user_instances=512/,
  ],
  [
    'ERROR: failed to create cluster: failed to init node with kubeadm: command "docker exec …" failed with error: exit status 1',
    /too little memory/,
  ],
  ['write /var/lib/docker/x: no space left on device', /^cluster: the disk is full/],
  [
    'ERROR: failed to create cluster: running kind with rootless provider requires setting systemd property "Delegate=yes", see https://…',
    /requires setting systemd property "Delegate=yes"; see https:\/\/kind/,
  ],
  [
    'ERROR: failed to create cluster: unable to decode config: yaml: unmarshal errors:\n  line 3: field foo not found in type v1alpha4.Cluster\n  line 9: field bar not found in type v1alpha4.Node',
    /^cluster\.config: kind rejects the file: line 3: unknown field `foo` in a Cluster, line 9: unknown field `bar` in a Node; /,
  ],
  [
    'ERROR: failed to create cluster: unknown apiVersion: kind.x-k8s.io/v1alpha3',
    /does not know the apiVersion kind\.x-k8s\.io\/v1alpha3/,
  ],
  [
    'lots\nERROR: failed to create cluster: something new\nmore',
    /^cluster: `kind create cluster` failed: failed to create cluster: something new more$/,
  ],
])('explain names cause and remedy for: %s', (output, words) => {
  expect(explain('kind create cluster', output, 'shop')).toMatch(words)
})

test('isTaken reports a name as taken only when another job uses it', () => {
  expect([
    isTaken('node(s) already exist for a cluster with the name "shop"'),
    isTaken('port is already allocated'),
  ]).toEqual([true, false])
})

test('causeInLogs finds a cause in the logs of the nodes that the output of kind omits', async () => {
  const folder = tempFolder()
  mkdirSync(join(folder, 'shop-control-plane'))
  writeFileSync(join(folder, 'shop-control-plane', 'journal.log'), 'nothing here\n')
  expect(await causeInLogs(folder)).toBeUndefined()
  writeFileSync(
    join(folder, 'shop-control-plane', 'kubelet.log'),
    'fine\nFailed to create inotify object: too many open files\n',
  )
  expect(await causeInLogs(folder)).toMatch(/^cluster: this machine allows too few inotify watches/)
})
