/** Apart from the checks, so that a command line that only names them does not load what they run on. */
export const groupNames = [
  'host',
  'config',
  'brokers',
  'topics',
  'groups',
  'rights',
  'schemas',
  'control',
  'redis',
  'disk',
] as const
export type GroupName = (typeof groupNames)[number]
