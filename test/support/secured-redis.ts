import fs from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { FreshetError } from '../../src/errors.ts'
import { fetchRedisServer, startRedis } from '../../src/runtime/local/redis-server.ts'
import type { Certificate } from './certificates.ts'
import { cacheDir, silentLog, type OnEnd } from './own-servers.ts'

export interface SecuredRedis {
  /** rediss:// of each primary, by commas. */
  readonly url: string
  /** Connected to each primary by a user that may do everything. */
  readonly admins: readonly Redis[]
  readonly adminPassword: string
  /** SIGKILL, as a crash would; resolves when the process is gone. @param index of its address in `url` */
  kill(index: number): Promise<void>
  /** Comes back with its slots and its users, and without a key. */
  restart(index: number): Promise<void>
}

const primaries = 3
const slots = 16_384
const readyWithinMs = 30_000
/** A node listens to its peers 10,000 above its port: below where systems take ports for outgoing connections from. */
const portsFrom = 20_000
const portsTo = 22_000

/**
 * A cluster of three primaries that speak TLS, to each other too, and know the default user by a password; `ACL SAVE` keeps users.
 */
export async function securedRedis(
  onEnd: OnEnd,
  options: { readonly dir: string; readonly authority: string; readonly server: Certificate },
): Promise<SecuredRedis> {
  const { dir, authority, server } = options
  const files = { ca: authority, cert: server.certificate, key: server.key }
  for (const [name, text] of Object.entries(files)) {
    await fs.writeFile(path.join(dir, `redis-${name}.pem`), text)
  }
  const adminPassword = 'redis-admin-secret'
  const nodes = await Promise.all(
    Array.from({ length: primaries }, (_, index) => startNode(onEnd, dir, index)),
  )
  const admins = nodes.map(({ url }) => new Redis(url))
  for (const admin of admins) admin.on('error', () => undefined)
  onEnd(() => Promise.resolve(admins.forEach((admin) => admin.disconnect())))
  for (const [index, admin] of admins.entries()) {
    const from = Math.floor((index * slots) / primaries)
    const to = Math.floor(((index + 1) * slots) / primaries)
    await admin.cluster('ADDSLOTS', ...Array.from({ length: to - from }, (_, i) => from + i))
    await admin.cluster('MEET', '127.0.0.1', nodes[0]!.tlsPort)
    await admin.acl('SETUSER', 'default', 'resetpass', `>${adminPassword}`)
    admin.options.password = adminPassword
  }
  await untilState(admins, 'ok')
  const url = nodes.map(({ tlsPort }) => `rediss://127.0.0.1:${tlsPort}`).join(',')
  return {
    ...{ url, admins, adminPassword },
    kill: (index) => nodes[index]!.kill(),
    restart: (index) => nodes[index]!.restart(),
  }
}

/** Waits until every primary calls the cluster this. */
export async function untilState(admins: readonly Redis[], state: 'ok' | 'fail'): Promise<void> {
  const deadlineMs = performance.now() + readyWithinMs
  for (;;) {
    const said = await Promise.all(admins.map((admin) => admin.cluster('INFO')))
    if (said.every((info) => String(info).includes(`cluster_state:${state}`))) return
    if (performance.now() > deadlineMs) throw new Error(`no cluster_state:${state}:\n${said[0]}`)
    await sleep(50)
  }
}

async function startNode(onEnd: OnEnd, dir: string, index: number) {
  const binary = await fetchRedisServer(cacheDir)
  const name = `redis-${index + 1}`
  const pem = (what: string) => path.join(dir, `redis-${what}.pem`)
  const aclFile = path.join(dir, `${name}.acl`)
  await fs.writeFile(aclFile, '')
  const start = (port: number, tlsPort: number) =>
    startRedis({
      ...{ binary, dataDir: path.join(dir, name), runDir: path.join(dir, `run-${name}`) },
      ...{ port, persist: false, log: silentLog },
      args: [
        ...['--cluster-enabled', 'yes', '--tls-cluster', 'yes', '--tls-port', String(tlsPort)],
        ...['--tls-ca-cert-file', pem('ca'), '--tls-auth-clients', 'no'],
        ...['--tls-cert-file', pem('cert'), '--tls-key-file', pem('key')],
        ...['--aclfile', aclFile],
      ],
    })
  for (;;) {
    const [port, tlsPort] = [0, 1].map(
      () => portsFrom + Math.floor(Math.random() * (portsTo - portsFrom)),
    ) as [number, number]
    try {
      let running = await start(port, tlsPort)
      onEnd(() => running.stop())
      return {
        ...{ url: running.url, tlsPort },
        kill: async (): Promise<void> => {
          process.kill(running.pid, 'SIGKILL')
          await running.exited
        },
        restart: async (): Promise<void> => void (running = await start(port, tlsPort)),
      }
    } catch (error) {
      // Another process has one of the ports.
      const isTaken =
        error instanceof FreshetError &&
        (error.code === 'PORT_TAKEN' || error.message.includes('Address already in use'))
      if (!isTaken) throw error
    }
  }
}
