/** Topic names are spelled here and nowhere else. */

export interface TopicNames {
  readonly impressions: string
  readonly clicks: string
  readonly events: string
  readonly items: string
  readonly examples: string
  readonly overrides: string
  readonly snapshots: string
  readonly reports: string
  readonly control: string
  readonly controlHistory: string
  readonly recallRequests: string
  readonly recallReplies: string
  readonly deadLetters: string
}

/** The names under a prefix; the default prefix is `freshet`. */
export function topicNames(prefix = 'freshet'): TopicNames {
  return {
    impressions: `${prefix}.impressions.v1`,
    clicks: `${prefix}.clicks.v1`,
    events: `${prefix}.events.v1`,
    items: `${prefix}.items.v1`,
    examples: `${prefix}.examples.v1`,
    overrides: `${prefix}.overrides.v1`,
    snapshots: `${prefix}.snapshots.v1`,
    reports: `${prefix}.reports.v1`,
    control: `${prefix}.control.v1`,
    controlHistory: `${prefix}.control-history.v1`,
    recallRequests: `${prefix}.recall-requests.v1`,
    recallReplies: `${prefix}.recall-replies.v1`,
    deadLetters: `${prefix}.dead-letters.v1`,
  }
}

/** Consumer group of a role, under the same prefix as the topics. */
export function groupName(prefix: string, role: string): string {
  return `${prefix}.${role}`
}
