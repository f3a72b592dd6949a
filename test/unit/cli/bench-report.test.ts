import { expect, test } from 'vitest'
import type { Throughput } from '../../../src/cli/bench/arithmetic.ts'
import type { BacklogFigures } from '../../../src/cli/bench/backlog.ts'
import { notesOn, table, targetsOf } from '../../../src/cli/bench/report.ts'

function throughput(perSecond: number, coreShare = 1): Throughput {
  return {
    ...{ records: perSecond * 10, seconds: 10, perSecond, coreShare, warmUpMs: 1_000 },
    cpuSecondsPer100k: (coreShare * 100_000) / perSecond,
  }
}

const backlog: BacklogFigures = {
  load: { events: 1, clicks: 1, seconds: 1 },
  roles: { ingest: throughput(25_000), joiner: throughput(30_000, 0.5), learner: null },
  bareLoops: { ingest: throughput(100_000), joiner: null, learner: throughput(100_000) },
  failures: ['learner: it ended'],
}

test('a rate that equals its target meets it; one that is missing does not', () => {
  const targets = targetsOf(backlog)
  expect(targets.map(({ role, isMet }) => [role, isMet])).toEqual([
    ['ingest', true],
    ['joiner', false],
    ['learner', false],
  ])
  expect(targets.map(({ shareOfBareLoop }) => shareOfBareLoop)).toEqual([0.25, null, null])
})

test('notes name what failed, what missed its target, and what a core that was not all its own would do', () => {
  expect(notesOn(targetsOf(backlog), backlog)).toEqual([
    'learner: it ended',
    'joiner misses its target: 30,000 of 40,000/s (75 %)',
    'joiner ran on 50 % of its core, the rest it waited or others took; a core-second is enough for 60,000',
    'learner: too few records were done to tell a rate',
  ])
})

test('a table has its names to the left and its figures to the right', () => {
  expect(table(['name', 'rate'], [['a', '1'], ['longer', '1,000'], ['short row']])).toEqual([
    'name        rate',
    'a              1',
    'longer     1,000',
    'short row',
  ])
})
