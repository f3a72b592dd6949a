import { expect, test } from 'vitest'
import {
  describeAgreement,
  disagreements,
  type Agreement,
} from '../../../src/cli/evaluate/agreement.ts'
import { ClickedItems } from '../../../src/cli/evaluate/clicked-items.ts'
import type { JoinedDay } from '../../../src/cli/evaluate/joined-days.ts'
import { rankInList, unrankedIn } from '../../../src/cli/evaluate/served-list.ts'
import { rankOf } from '../../../src/model/evaluation.ts'
import { seededRandom } from '../../support/seeded-random.ts'

const listOf = (...scores: readonly number[]) =>
  scores.map((score, i) => ({ itemId: `i${i}`, score }))

test('a place in a reply is the rank that memory gives, with ties and without', () => {
  const random = seededRandom(5)
  for (let n = 0; n < 50; n++) {
    const scores = Array.from({ length: 12 }, () => random.between(0, 6) / 8)
    const list = listOf(...scores).sort((a, b) => b.score - a.score)
    for (const i of scores.keys()) {
      const inMemory = rankOf(Float32Array.from(scores), 0, 12, i, new Uint8Array(12).fill(1), [])
      expect(rankInList(list, `i${i}`)).toBe(inMemory)
    }
  }
})

test('an item that is not in the reply has no rank', () => {
  expect(rankInList(listOf(0.9, 0.8), 'other')).toBeNull()
  expect(rankInList([], 'i0')).toBeNull()
})

test('what nobody had clicked before the sync is named: items clicked later, and those never clicked', () => {
  const examples = ['i0', 'i2', 'i1'].map((itemId, eventTimeMs) => ({ itemId, eventTimeMs }))
  const items = new ClickedItems([{ examples } as unknown as JoinedDay])
  expect(unrankedIn(listOf(0.9, 0.8, 0.7, 0.6), items, items.countBefore(2))).toEqual(['i1', 'i3'])
  expect(unrankedIn(listOf(0.9, 0.8), items, 3)).toEqual([])
})

const memory = { recallAt50: 0.39, recallAt100: 0.47, mrr: 0.129, freshRecallAt100: 0.1 }

function agreement(pods: Partial<Agreement['pods']>): Agreement {
  const replies = {
    statuses: { OK: 90, COLD_USER: 9, DEGRADED: 1 },
    complaints: ['DEGRADED for the case of request r7: Redis is away'],
    indexRecalls: [0.999, 0.997],
  }
  return { seed: 17, memory, pods: { ...memory, ...pods }, replies }
}

test('scores agree within the tolerance, in either direction', () => {
  expect(disagreements(agreement({}))).toEqual([])
  expect(disagreements(agreement({ recallAt50: 0.3885, mrr: 0.1305 }))).toEqual([])
})

test('each score that is too far away is named with both figures and the difference', () => {
  expect(disagreements(agreement({ recallAt50: 0.3875, mrr: 0.1315 }))).toEqual([
    'seed 17: recall@50 is .3875 from the pod and .3900 in memory, .0025 apart where .0020 is allowed',
    'seed 17: MRR is .1315 from the pod and .1290 in memory, .0025 apart where .0020 is allowed',
  ])
  expect(disagreements(agreement({ recallAt100: 0.46 }))).toHaveLength(1)
})

test('the comparison shows both, the difference, every status and what the index loses', () => {
  const text = describeAgreement(agreement({ recallAt100: 0.469 }))
  expect(text).toMatch(/^in memory +\.3900 +\.4700 +\.1290$/m)
  expect(text).toMatch(/^from the pod +\.3900 +\.4690 +\.1290$/m)
  expect(text).toMatch(/^difference +\+\.0000 +-\.0010 +\+\.0000$/m)
  expect(text).toContain('replies: 90 OK, 9 COLD_USER, 1 DEGRADED\n  DEGRADED for the case')
  expect(text).toContain(
    'recall@100 of the index: .9980 on the mean of 2 generations, .9970 at worst',
  )
})
