// A program on the generated TypeScript types: it is type-checked, never run.
import type { components, operations, paths, webhooks } from './client'

type Deal = components['schemas']['OpportunityRecord']
type Create = paths['/api/opportunities/']['post']['requestBody']['content']['application/json']
type Filters = NonNullable<operations['list_opportunities']['parameters']['query']>
type Problem = components['schemas']['Problem']
type Won = NonNullable<webhooks['opportunity.won']['post']['requestBody']>['content']['application/json']

export const create: Create = { name: 'Annual', account_id: '0197a3c2-7c00-7000-8000-00000000a001', custom_fields: { seats: 72 } }
export const patch: components['schemas']['OpportunityUpdate'] = { amount: '26000', close_date: null, tags: ['a'] }
export const move: components['schemas']['OpportunityChangeStage'] = { stage: 'won', actual_amount: 26000 }
export const filters: Filters = { stage: ['proposal'], close_date__gte: '2026-06-01', amount__gte: 1000, ordering: '-amount' }

export function weighted(forecast: components['schemas']['Forecast']): number {
  return forecast.months.reduce((sum, month) => sum + month.weighted, 0)
}

export function summary(deal: Deal): string {
  const status: 'open' | 'won' | 'lost' = deal.status
  return `${deal.name} of ${deal.account.name}: ${deal.amount ?? 'no amount'} ${status} since ${new Date(deal.stage_entered_at)}`
}

export function heard(event: Won): string | null {
  return event.data.opportunity.actual_amount
}

export function explain(problem: Problem): string[] {
  return Object.values(problem.errors ?? {}).flat()
}

// @ts-expect-error A deal has a name.
export const incomplete: Create = { account_id: '0197a3c2-7c00-7000-8000-00000000a001' }
// @ts-expect-error A status is one of three.
export const unknown: components['schemas']['Opportunity']['status'] = 'closed'
