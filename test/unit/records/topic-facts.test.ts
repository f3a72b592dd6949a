import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { optionalRoleNames, roleNames, type RoleName } from '../../../src/cli/role-names.ts'
import { topicFacts } from '../../../src/records/topic-facts.ts'
import type { TopicNames } from '../../../src/records/topics.ts'

const runtime = path.resolve(import.meta.dirname, '../../../src/runtime')
const topics = Object.keys(topicFacts) as (keyof TopicNames)[]

/** Sources of a role by their names; the pod is called after what it does. */
function sourcesOf(role: RoleName): string {
  const begin = role === 'pod' ? 'recall' : role
  const own = new RegExp(`^${begin}(?:-(?!client)[a-z-]+)?\\.ts$|^${begin}/`)
  return readdirSync(runtime, { recursive: true })
    .map(String)
    .filter((file) => own.test(file) && file.endsWith('.ts'))
    .map((file) => readFileSync(path.join(runtime, file), 'utf8'))
    .join('\n')
}

test.for([...roleNames, ...optionalRoleNames])(
  'a topic that the sources of %s name has it among its writers or readers',
  (role) => {
    const sources = sourcesOf(role)
    const named = topics.filter((topic) => new RegExp(`\\btopics\\.${topic}\\b`).test(sources))
    expect(named.length).toBeGreaterThan(0)
    for (const topic of named) {
      const { writers, readers } = topicFacts[topic]
      expect([...writers, ...readers], topic).toContain(role)
    }
  },
)
