import { expect, test } from 'vitest'
import { expectCut, expectDayInId } from '../../../src/cli/exchange.ts'

const cuts = { '2026-01-05': [10], '2026-01-06': [20] }

test('where days are cut, a generation that is imported has learnt one of them', () => {
  expect(() => expectCut({ cuts }, 'g', '2026-01-06')).not.toThrow()
  expect(() => expectCut({ cuts }, 'g', null)).not.toThrow()
  expect(() => expectCut({ cuts: {} }, 'g', '2026-01-04')).not.toThrow()
  expect(() => expectCut({ cuts }, 'g', '2026-01-04')).toThrow(
    'g has learnt 2026-01-04, which has no cut to catch up from: days 2026-01-05 to 2026-01-06 have one',
  )
})

test('the id of a generation that has learnt a day names it, so that no full update learns it again', () => {
  expect(() => expectDayInId('imported-2026-01-05-ours', '2026-01-05')).not.toThrow()
  expect(() => expectDayInId('ours', null)).not.toThrow()
  expect(() => expectDayInId('ours', '2026-01-05')).toThrow('--id imported-2026-01-05-NAME')
})
