// The image of kind's nodes, which no package registry has: made of Debian packages, of kind's own files, and of the
// mesh's programs. Stand-ins: Debian's runc, the mesh's containerd and Kubernetes, pod-network.yaml for kindnetd.
import { cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { cached } from '../cache.ts'
import { importLayout, withContainerd } from '../containerd.ts'
import { codename } from '../debian.ts'
import { buildTool, goModule } from '../go.ts'
import { assembleImages, hashes, type ImageSources, pathVariable } from '../images.ts'
import { type Image, layer, layerOfFolder, writeDockerFolder, writeLayout } from '../oci.ts'
import { step } from '../progress.ts'
import { KUBERNETES_VERSION } from '../settings.ts'
import { contained, sh } from '../shell.ts'

/** Named differently from kind's own images, so that nobody mistakes it for one. */
export const kindNodeImage = 'mesh-canary/kind-node:1'

const here = import.meta.dirname
const packages =
  'systemd,conntrack,iptables,nftables,iproute2,ethtool,util-linux,mount,kmod,libseccomp2,pigz,e2fsprogs,bash,' +
  'ca-certificates,curl,jq,procps,runc,containernetworking-plugins'

/** What kind's Dockerfile does to the system: few services, and no settings that apply to the whole machine. */
const preparation = [
  'rm -f "$1"/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service',
  'rm -f "$1"/lib/systemd/system/multi-user.target.wants/* "$1"/etc/systemd/system/*.wants/*',
  'rm -f "$1"/lib/systemd/system/local-fs.target.wants/* "$1"/usr/lib/sysctl.d/*',
  'rm -f "$1"/lib/systemd/system/sockets.target.wants/*udev* "$1"/lib/systemd/system/sockets.target.wants/*initctl*',
  'rm -f "$1"/lib/systemd/system/basic.target.wants/*',
  'echo ReadKMsg=no >> "$1"/etc/systemd/journald.conf',
  'ln -sf /usr/lib/systemd/systemd "$1"/sbin/init',
  'mkdir -p "$1"/etc/kubernetes/manifests "$1"/opt/cni && ln -s /usr/lib/cni "$1"/opt/cni/bin',
]

/** The folder with the image, as `docker load` reads it. The caller must hold the lock. */
export async function buildNodeImage(sources: ImageSources): Promise<string> {
  const system = await buildSystem()
  const kind = join(await goModule('sigs.k8s.io/kind', 'kind'), 'images/base/files')
  const crictl = await buildTool('crictl')
  const own = await hashes([import.meta.filename, join(here, 'pod-network.yaml'), join(here, '../images.ts')])
  return cached({ name: 'kind-node', recipe: { ...sources, system, kind, crictl, own } }, (draft) =>
    step('kind node image', async (report) => {
      const layers = [
        await layer(system),
        await nodeFiles(join(draft, 'files'), { bin: sources.bin, kind, crictl }),
        await containerdRoot(join(draft, 'images'), sources, report),
      ]
      report('writing')
      await writeDockerFolder(join(draft, 'image'), [
        {
          name: kindNodeImage,
          layers,
          config: {
            Entrypoint: ['/usr/local/bin/entrypoint', '/sbin/init'],
            Env: [pathVariable, 'container=docker'],
            StopSignal: 'SIGRTMIN+3', // systemd's signal to end
          },
        },
      ])
      for (const name of ['files', 'images']) await rm(join(draft, name), { recursive: true })
    }),
  )
}

/** The tar of the Debian system. */
async function buildSystem(): Promise<string> {
  const recipe = { codename: codename(), packages, preparation }
  const made = await cached({ name: 'kind-system', recipe }, (draft) =>
    step('kind node system', async (report) => {
      const hooks = preparation.map((command) => `--customize-hook=${command}`)
      const argv = ['mmdebstrap', '--variant=essential', `--include=${packages}`, ...hooks]
      await sh(contained([...argv, recipe.codename, join(draft, 'system.tar')]), {
        env: { ...process.env, TMPDIR: draft },
        onLine: report,
      })
    }),
  )
  return join(made, 'system.tar')
}

/** The layer with kind's files, adapted to this machine, and all programs. */
async function nodeFiles(folder: string, { bin, kind, crictl }: Record<'bin' | 'kind' | 'crictl', string>) {
  const root = join(folder, 'root')
  await cp(kind, root, { recursive: true, filter: (source) => !source.includes('LICENSES') })
  await sh(['chmod', '-R', 'u+w,a+rX', root])
  await sh(['sh', '-c', 'chmod a+x "$0"/kind/bin/* "$0"/usr/local/bin/*', root])
  await adaptToThisMachine(root)
  await write(root, 'etc/containerd/cri-base.json', await containerSpec(bin))
  await write(root, 'kind/version', `v${KUBERNETES_VERSION}\n`)
  await write(root, 'kind/manifests/default-cni.yaml', await readFile(join(here, 'pod-network.yaml'), 'utf8'))
  for (const unit of ['kubelet', 'containerd', 'undo-mount-hacks']) await enable(root, `${unit}.service`)
  await installPrograms(root, bin, crictl)
  return layerOfFolder(root, join(folder, 'files.tar'))
}

/** What kind expects of a machine, and this one may lack or forbid. */
async function adaptToThisMachine(root: string): Promise<void> {
  // Lowering an OOM score needs a privilege that the machine may lack.
  const score = 'restrict_oom_score_adj ='
  await replace(root, 'etc/containerd/config.toml', `${score} false`, `${score} true`)
  // The kubelet refuses cgroup v1 otherwise.
  const flags = '--runtime-cgroups=/system.slice/containerd.service'
  await replace(root, 'etc/default/kubelet', flags, `${flags} --fail-cgroupv1=false\n`)
  // systemd would raise fs.file-max, and the unit systemd-binfmt register formats: both apply to the whole machine.
  const readOnly = 'mount --bind /proc/sys/fs /proc/sys/fs && mount -o remount,bind,ro /proc/sys/fs'
  await replace(root, 'usr/local/bin/entrypoint', '\nexec "$@"', `\n${readOnly}\nexec "$@"`)
  await symlink('/dev/null', join(root, 'etc/systemd/system/systemd-binfmt.service'))
}

async function installPrograms(root: string, bin: string, crictl: string): Promise<void> {
  for (const name of ['containerd', 'containerd-shim-runc-v2', 'ctr', 'kubernetes'])
    await cp(join(bin, name), join(root, 'usr/local/bin', name))
  await cp(crictl, join(root, 'usr/local/bin/crictl'))
  await mkdir(join(root, 'usr/bin'))
  for (const name of ['kubeadm', 'kubectl', 'kubelet'])
    await symlink('/usr/local/bin/kubernetes', join(root, 'usr/bin', name))
}

async function write(root: string, name: string, text: string): Promise<void> {
  await mkdir(dirname(join(root, name)), { recursive: true })
  await writeFile(join(root, name), text)
}

/** @throws Error if the file does not have the text, because kind has changed it. */
async function replace(root: string, name: string, from: string, to: string): Promise<void> {
  const text = await readFile(join(root, name), 'utf8')
  if (!text.includes(from)) throw new Error(`kind's file ${name} no longer has ${JSON.stringify(from)}.`)
  await writeFile(
    join(root, name),
    text.replace(from, () => to),
  )
}

async function enable(root: string, unit: string): Promise<void> {
  const wants = join(root, 'etc/systemd/system/multi-user.target.wants')
  await mkdir(wants, { recursive: true })
  await symlink(`/etc/systemd/system/${unit}`, join(wants, unit))
}

/** What kind's containers start from: containerd's default, with kind's hook and without limits of resources. */
async function containerSpec(bin: string): Promise<string> {
  const spec = JSON.parse(await sh([join(bin, 'ctr'), 'oci', 'spec'])) as {
    process: { rlimits?: unknown }
    hooks?: object
  }
  delete spec.process.rlimits
  return JSON.stringify({ ...spec, hooks: { createContainer: [{ path: '/kind/bin/mount-product-files.sh' }] } })
}

/** The layer with all images, already imported into containerd. */
async function containerdRoot(folder: string, sources: ImageSources, report: (text: string) => void) {
  await mkdir(folder)
  const root = join(folder, 'root/var/lib/containerd')
  const layout = join(folder, 'layout')
  const images = await assembleImages(sources, folder, report)
  await writeLayout(layout, [...images, ...(await kubernetesImages(sources, folder))])
  report('importing')
  await mkdir(dirname(root), { recursive: true })
  await withContainerd(sources.bin, root, (socket) =>
    importLayout(sources.bin, socket, layout, ['--discard-unpacked-layers']),
  )
  report('packing')
  return layerOfFolder(join(folder, 'root'), join(folder, 'containerd.tar'), 'kept')
}

async function kubernetesImages({ bin, base }: ImageSources, folder: string): Promise<Image[]> {
  const root = join(folder, 'kubernetes')
  await mkdir(join(root, 'usr/local/bin'), { recursive: true })
  for (const name of ['kubernetes', 'coredns']) await cp(join(bin, name), join(root, 'usr/local/bin', name))
  const programs = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kube-proxy']
  for (const name of [...programs, 'etcd', 'kubectl']) await symlink('kubernetes', join(root, 'usr/local/bin', name))
  await symlink('usr/local/bin/coredns', join(root, 'coredns'))
  const layers = [await layer(base), await layerOfFolder(root, join(folder, 'kubernetes.tar'))]
  const image = (name: string, config: Image['config'] = {}): Image => ({
    name,
    layers,
    config: { Env: [pathVariable], ...config },
  })
  return [
    ...programs.map((name) => image(`registry.k8s.io/${name}:v${KUBERNETES_VERSION}`)),
    // kubeadm and kind ask for these versions by name.
    image('registry.k8s.io/etcd:3.7.0-0'),
    image('registry.k8s.io/coredns/coredns:v1.14.6', { Entrypoint: ['/coredns'], User: '65532:65532' }),
    image('registry.k8s.io/pause:3.10', { Entrypoint: ['sleep', 'infinity'] }),
    image('docker.io/mesh-canary/network:1'),
  ]
}
