import { expect, test } from 'vitest'
import { decide, javaMajorOf, type PreflightFacts } from '../../../scripts/preflight.js'

const complete: PreflightFacts = {
  nodeVersion: '20.19.0',
  javaMajor: 17,
  needsJava: true,
  hasMaven: true,
  needsMaven: true,
  hasApt: true,
  isRoot: false,
}

test('a complete machine passes; Maven matters until the broker is fetched, Java where it runs here', () => {
  expect(decide(complete).kind).toBe('ok')
  expect(decide({ ...complete, nodeVersion: '24.0.0', javaMajor: 21 }).kind).toBe('ok')
  expect(decide({ ...complete, hasMaven: false, needsMaven: false }).kind).toBe('ok')
  expect(decide({ ...complete, hasMaven: false }).kind).toBe('refuse')
  expect(decide({ ...complete, javaMajor: null, needsJava: false }).kind).toBe('ok')
  expect(decide({ ...complete, javaMajor: null }).kind).toBe('refuse')
})

test.each([
  ['20.18.3', 'refuse'],
  ['18.20.0', 'refuse'],
  ['20.19.0', 'ok'],
  ['21.0.0', 'ok'],
])('Node %s: %s', (nodeVersion, kind) => {
  expect(decide({ ...complete, nodeVersion }).kind).toBe(kind)
})

test('root on a system with apt gets exactly what is missing', () => {
  const root = { ...complete, isRoot: true }
  expect(decide({ ...root, javaMajor: null })).toEqual({
    kind: 'install',
    packages: ['openjdk-17-jre-headless'],
  })
  expect(decide({ ...root, javaMajor: 11, hasMaven: false })).toEqual({
    kind: 'install',
    packages: ['openjdk-17-jre-headless', 'maven'],
  })
})

test.each([
  { isRoot: false, hasApt: true },
  { isRoot: true, hasApt: false },
])('anyone else gets the line to type, for apt and for brew: %o', (machine) => {
  const decision = decide({ ...complete, ...machine, javaMajor: 11, hasMaven: false })
  const lines = decision.kind === 'refuse' ? decision.lines.join('\n') : ''
  expect(lines).toContain('this is 11')
  expect(lines).toContain('sudo apt-get install -y openjdk-17-jre-headless maven')
  expect(lines).toContain('brew install openjdk@17 maven')
})

test('an old Node is never papered over by installing the rest', () => {
  const decision = decide({ ...complete, nodeVersion: '18.0.0', isRoot: true, javaMajor: null })
  const lines = decision.kind === 'refuse' ? decision.lines.join('\n') : ''
  expect(lines).toContain('this is 18.0.0')
  expect(lines).toContain('openjdk-17-jre-headless')
})

test.each([
  ['openjdk version "17.0.15" 2025-04-15', 17],
  ['java version "1.8.0_401"', 8],
  ['openjdk version "21" 2023-09-19', 21],
  ['The operation couldn’t be completed. Unable to locate a Java Runtime.', null],
])('javaMajorOf(%s)', (printed, major) => {
  expect(javaMajorOf(printed)).toBe(major)
})
