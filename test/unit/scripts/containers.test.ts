import { execFile } from 'node:child_process'
import fs from 'node:fs'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { optionalRoleNames, roleNames } from '../../../src/cli/role-names.ts'
import { environmentVariables } from '../../../src/config/load.ts'

interface Service {
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, unknown>>
  readonly ports?: readonly string[]
  readonly volumes?: readonly string[]
}

const compose = parse(fs.readFileSync('docker-compose.yml', 'utf8'), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>
  readonly volumes: Readonly<Record<string, null>>
}
const services = Object.values(compose.services)

test('compose has one service per role', () => {
  const commands = services.flatMap((service) => service.command ?? [])
  const roles: readonly string[] = [...roleNames, ...optionalRoleNames]
  const started = commands.filter((word) => roles.includes(word))
  expect(started.toSorted()).toEqual(roles.toSorted())
})

test('every FRESHET_ variable of the containers is one that the configuration reads', () => {
  const dockerfile = fs.readFileSync('Dockerfile', 'utf8')
  const set = [
    ...services.flatMap((service) => Object.keys(service.environment ?? {})),
    ...(dockerfile.match(/FRESHET_[A-Z_]+/g) ?? []),
  ].filter((name) => name.startsWith('FRESHET_'))
  expect(set).toContain('FRESHET_KAFKA_BROKERS')
  expect(Object.keys(environmentVariables)).toEqual(expect.arrayContaining(set))
})

test('ports are published on loopback only, and every named volume is declared', () => {
  const ports = services.flatMap((service) => service.ports ?? [])
  expect(ports.length).toBeGreaterThan(0)
  expect(ports.filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([])
  const volumes = services.flatMap((service) => service.volumes ?? [])
  const used = [...new Set(volumes.map((volume) => volume.slice(0, volume.indexOf(':'))))]
  const named = used.filter((source) => !source.startsWith('./'))
  expect(named.toSorted()).toEqual(Object.keys(compose.volumes).toSorted())
  for (const folder of used.filter((source) => source.startsWith('./'))) {
    expect(fs.existsSync(folder), folder).toBe(true)
  }
})

test('the compose file holds to its schema', async () => {
  const linter = 'node_modules/dclint/bin/dclint.cjs'
  await promisify(execFile)(process.execPath, [linter, '-q', 'docker-compose.yml'])
})
