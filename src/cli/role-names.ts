/** Apart from the roles themselves, so that a command that only names them does not load what they run on. */
export const roleNames = [
  'compactor',
  'controller',
  'indexer',
  'ingest',
  'joiner',
  'learner',
  'pod',
] as const
export type RoleName = (typeof roleNames)[number]
