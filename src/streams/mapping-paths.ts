import { FreshetError } from '../errors.ts'
import { describe } from '../records/fields.ts'
import { isAbsent, type Unchecked } from '../records/json.ts'

/** Finds a value in a record; undefined where there is none. */
export type PathReader = (record: Unchecked) => unknown

type Step = { readonly key: string } | 'each'

/**
 * Compiles a path such as `user.id`, `items[].id` or `page.items`. `[]` reads the rest of the path in every element of an array.
 * @throws FreshetError CONFIG_INVALID for a malformed path; the reader throws RECORD_INVALID where `[]` meets no array
 */
export function compilePath(path: string): PathReader {
  const steps = path.split('.').flatMap((part) => stepsOf(part, path))
  return (record) => follow(record, steps, 0, path)
}

function stepsOf(part: string, path: string): Step[] {
  const [, key, brackets] = /^([^[\]]+)((?:\[\])*)$/.exec(part) ?? []
  if (key === undefined) {
    const message = `field path ${JSON.stringify(path)} is not names joined by dots, each with [] where it is an array`
    throw new FreshetError('CONFIG_INVALID', message)
  }
  return [{ key }, ...Array.from({ length: brackets!.length / 2 }, () => 'each' as const)]
}

function follow(value: unknown, steps: readonly Step[], from: number, path: string): unknown {
  let found = value
  for (let i = from; i < steps.length; i++) {
    const step = steps[i]!
    if (isAbsent(found)) return undefined
    if (step === 'each') {
      if (Array.isArray(found)) {
        const elements: readonly unknown[] = found
        return elements.map((element) => follow(element, steps, i + 1, path))
      }
      const message = `field path ${path}: found ${describe(found)} where [] needs an array`
      throw new FreshetError('RECORD_INVALID', message)
    }
    found = member(found, step.key)
  }
  return found
}

function member(value: unknown, key: string): unknown {
  if (value instanceof Map) return (value as ReadonlyMap<string, unknown>).get(key)
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
  return (value as Unchecked)[key]
}
