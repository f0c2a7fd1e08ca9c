-- The figures of the product, each defined once: Grafana, the console and the API read them here.
-- Made anew at each migration. Every figure keeps the orders or devices behind it.
drop schema if exists reports cascade;
create schema reports;

-- A device as an asset. status: fault (a repair is open), warning (condition-based work is open), offline, ok.
create view reports.device as
select a.id as device_id, d.uid, a.serial, d.model, m.name_en as model_en, m.name_zh as model_zh, m.kind,
       s.id as site_id, s.name as site, c.id as customer_id, c.name as customer, c.tier, s.latitude, s.longitude,
       a.installed_on, a.warranty_until, a.criticality, coalesce(t.online, false) as online, t.last_ts,
       coalesce(h.life, 0) as life_hours, o.open_orders,
       case when d.status = 'revoked' then 'revoked' when o.repairs > 0 then 'fault' when o.warnings > 0 then 'warning'
            when not coalesce(t.online, false) then 'offline' else 'ok' end as status
from fsm.device a join ingest.device d on d.id = a.id join ingest.model m on m.code = d.model
join fsm.site s on s.id = a.site_id join fsm.customer c on c.id = s.customer_id
left join ingest.device_status t on t.device_id = a.id left join ingest.run_hours h on h.device_id = a.id
cross join lateral (
    select count(*) as open_orders, count(*) filter (where w.type = 'repair') as repairs,
           count(*) filter (where w.type = 'condition') as warnings
    from fsm.work_order w
    where w.device_id = a.id and w.state not in ('work_done', 'reviewed', 'settled', 'closed', 'cancelled')) o;

-- Hours a device ran on a UTC day.
create view reports.operating_hours as
select h.device_id, v.uid, v.model, v.site_id, v.site, v.customer_id, h.day,
       h.day::timestamp at time zone 'UTC' as ts, h.hours
from ingest.run_hours_day h join reports.device v using (device_id);

-- Hourly means of what the devices report.
create view reports.trend as
select v.device_id, v.uid, v.model, v.site, r.metric, k.name_en, k.name_zh, k.unit, r.bucket, r.n, r.mean, r.low, r.high
from ingest.reading_hour r join reports.device v using (device_id)
join ingest.metric k on k.model = v.model and k.name = r.metric;

-- One row an order, with when it first reached each state.
create view reports.order_funnel as
select o.id as order_id, o.number, o.type, o.source, o.source = 'automatic' as automatic, o.priority, o.state,
       o.customer_id, o.site_id, o.device_id, o.fault_at, o.opened_at, e.accepted_at, e.assigned_at, e.confirmed_at,
       e.started_at, e.done_at, e.reviewed_at, e.settled_at, e.closed_at, e.cancelled_at
from fsm.work_order o
left join lateral (
    select min(at) filter (where to_state = 'accepted') as accepted_at,
           min(at) filter (where to_state = 'assigned') as assigned_at,
           min(at) filter (where to_state = 'confirmed') as confirmed_at,
           min(at) filter (where to_state = 'in_progress') as started_at,
           max(at) filter (where to_state = 'work_done') as done_at,   -- the last: a reopened order is done again
           max(at) filter (where to_state = 'reviewed') as reviewed_at,
           min(at) filter (where to_state = 'settled') as settled_at,
           min(at) filter (where to_state = 'closed') as closed_at,
           min(at) filter (where to_state = 'cancelled') as cancelled_at
    from fsm.work_order_event x where x.order_id = o.id and x.subject = 'order') e on true;

-- What a finished order says of its machine; analytics/reliability/terms.py says the same in words (ISO 14224), and a
-- test compares the two. breakdown: the machine failed; prevented: its component was worn and was restored in time;
-- needless: nothing was wrong; unconfirmed: nobody said what was; planned: preventive work.
create view reports.maintenance as
select o.id as order_id, o.number, k.kind, v.device_id, v.uid, v.model, v.model_en, v.model_zh, v.site_id, v.site,
       v.customer_id, v.customer, o.component, o.failure_mode, coalesce(f.name_en, o.failure_mode) as mode_en,
       coalesce(f.name_zh, o.failure_mode) as mode_zh, o.cause_code, o.remedy_code, o.repeat_of, o.fault_at,
       o.opened_at, u.done_at
from fsm.work_order o join reports.device v using (device_id) join reports.order_funnel u on u.order_id = o.id
left join ingest.failure_mode f on f.model = v.model and f.code = o.failure_mode
cross join lateral (
    select case when o.type in ('maintenance', 'inspection') then 'planned'
                when o.type not in ('repair', 'condition', 'repeat') then null
                when o.cause_code is null then 'unconfirmed' when o.cause_code = 'no_fault_found' then 'needless'
                when o.type in ('repair', 'repeat') then 'breakdown' else 'prevented' end as kind) k
where k.kind is not null and o.state in ('work_done', 'reviewed', 'settled', 'closed');

-- A failure: the cause was confirmed.
create view reports.failure as
select order_id, number, kind, device_id, uid, model, model_en, model_zh, site_id, site, customer_id, customer,
       component, failure_mode, mode_en, mode_zh, cause_code, remedy_code, repeat_of, fault_at, opened_at,
       done_at as repaired_at
from reports.maintenance where kind in ('breakdown', 'prevented');

-- One row a clock. met: true or false once it is decided, null while there is still time.
create view reports.sla as
select k.order_id, o.number, k.kind, o.priority, o.state, o.customer_id, c.name as customer, c.tier, o.site_id,
       k.started_at, k.due_at, k.stopped_at,
       case when k.stopped_at is not null then k.stopped_at <= k.due_at when o.state = 'cancelled' then null
            when k.due_at < kit.now() then false end as met
from fsm.sla_clock k join fsm.work_order o on o.id = k.order_id join fsm.customer c on c.id = o.customer_id;

-- What a settled order cost and brought. Costs are in the currency of the books.
create view reports.order_cost as
select s.order_id, o.number, o.type, o.customer_id, c.name as customer, o.site_id, o.device_id, v.uid, v.model,
       o.component, o.failure_mode, s.settled_at, s.currency, s.net, s.tax, s.gross, s.cost_currency, s.cost,
       l.labour_cost, l.travel_cost, l.parts_cost, l.covered,
       case when s.currency = s.cost_currency then s.net - s.cost end as margin
from fsm.settlement s join fsm.work_order o on o.id = s.order_id join fsm.customer c on c.id = o.customer_id
left join reports.device v on v.device_id = o.device_id
cross join lateral (
    select coalesce(sum(cost) filter (where line = 'labour'), 0) as labour_cost,
           coalesce(sum(cost) filter (where line = 'travel'), 0) as travel_cost,
           coalesce(sum(cost) filter (where line = 'parts'), 0) as parts_cost,
           coalesce(sum(amount - billed), 0) as covered
    from fsm.settlement_line x where x.order_id = s.order_id) l;

-- What lies where.
create view reports.stock as
select l.id as location_id, l.code as location, l.kind, l.name as location_name, p.id as part_id, p.sku, p.name_en,
       p.name_zh, b.on_hand, b.reserved, b.on_hand - b.reserved as available, b.value
from fsm.stock_balance b join fsm.location l on l.id = b.location_id join fsm.part p on p.id = b.part_id
where b.physical and b.on_hand > 0;

-- Honesty of the alarms, per rule: orders its signals led to that were real (confirmed), were not (false), are not
-- known yet (undecided); and finished failures of the mode that it did not announce (missed).
create view reports.detection_quality as
with signal as (
    select distinct d.rule, i.model, d.failure_mode, s.order_id
    from analytics.detection d join ingest.device i on i.id = d.device_id
    join fsm.episode_signal s on s.detection_id = d.id where d.kind = 'raise' and s.order_id is not null),
raised as (
    select d.rule, i.model, d.failure_mode, count(*) as raises
    from analytics.detection d join ingest.device i on i.id = d.device_id where d.kind = 'raise' group by 1, 2, 3),
judged as (
    select g.rule, g.model, g.failure_mode, count(*) as orders, count(f.order_id) as confirmed,
           count(*) filter (where o.cause_code = 'no_fault_found' or o.state = 'cancelled') as false_alarms
    from signal g join fsm.work_order o on o.id = g.order_id left join reports.failure f on f.order_id = o.id
    group by 1, 2, 3)
select r.rule, r.model, r.failure_mode, m.name_en, m.name_zh, r.raises, coalesce(j.orders, 0) as orders,
       coalesce(j.confirmed, 0) as confirmed, coalesce(j.false_alarms, 0) as false_alarms,
       coalesce(j.orders - j.confirmed - j.false_alarms, 0) as undecided, x.missed,
       j.confirmed::double precision / nullif(j.confirmed + j.false_alarms, 0) as precision,
       coalesce(j.confirmed, 0)::double precision / nullif(coalesce(j.confirmed, 0) + x.missed, 0) as recall
from raised r left join judged j using (rule, model, failure_mode)
left join ingest.failure_mode m on m.model = r.model and m.code = r.failure_mode
cross join lateral (
    select count(*) as missed from reports.failure f
    where f.model = r.model and f.failure_mode = r.failure_mode
      and not exists (select from signal g where g.order_id = f.order_id and g.rule = r.rule)) x;

-- The detections, with their device, for time lines.
create view reports.detection as
select d.id as detection_id, v.device_id, v.uid, v.model, v.site, d.ts, d.kind, d.rule, d.failure_mode, m.name_en,
       m.name_zh, d.severity, d.score, s.outcome, s.rule as decided_by, s.order_id
from analytics.detection d join reports.device v using (device_id)
left join ingest.failure_mode m on m.model = v.model and m.code = d.failure_mode
left join fsm.episode_signal s on s.detection_id = d.id;
