import type { Config } from '../config/schema.ts'

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
/** Roles that `freshet all` and `npm start` run only where the configuration says so. */
export const optionalRoleNames = ['gateway'] as const
export type RoleName = (typeof roleNames)[number] | (typeof optionalRoleNames)[number]

/** What `freshet all` and `npm start` run. */
export function rolesOf({ gateway }: Pick<Config, 'gateway'>): readonly RoleName[] {
  return gateway.enabled ? [...roleNames, 'gateway'] : roleNames
}
